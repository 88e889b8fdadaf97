"""What notebooks hold every day costs no points: shell lines, magics, packages and files that are absent."""

import inspect

import pytest
from small import answer, cell, checked, locked, right, write

from course_lib.grading.judging.absent import ConfinedShell
from course_lib.grading.judging.child import Outputs
from course_lib.grading.judging.judge import Grader
from course_lib.grading.judging.session import Seconds
from course_lib.grading.walls.engines import ENGINES, NONE, engines

pytestmark = pytest.mark.usefixtures("own_errors")
SOFTMAX, MIX, ATTENTION = "03_qkv/softmax", "03_qkv/mix", "03_qkv/attention"
DRAWN = "{0}.randn(99, generator={0}.Generator().manual_seed(3))"
WENT_ON = "the cell went on"
NOTHING = "does nothing while answers are graded"
LEFT_OUT = "Left out while answers are graded"

# The lines of a cell -> what stands in its output. $touched is a file that no engine may write.
LINES = {
    "!touch $touched": f"!touch $touched {NOTHING}.",
    "!pip install -q einops \\\n    torch": f"torch {NOTHING}.",
    "!!touch $touched": NOTHING,
    "x = !ls\nassert x == []": f"!ls {NOTHING}.",
    "if True:\n    !ls\n    x = 3": NOTHING,
    "!sleep 100 &": NOTHING,
    "%pip install einops": f"%pip install einops {NOTHING}.",
    "%conda install einops": f"%conda install einops {NOTHING}.",
    "%ls": NOTHING,
    "%sx touch $touched": NOTHING,
    "%matplotlib inline": "",
    "%matplotlib widget\nimport matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()": "image/png",
    "%matplotlib notebook": f"%matplotlib notebook {NOTHING}: figures are pictures.",
    "%matplotlib qt": NOTHING,
    "%config InlineBackend.figure_format = 'svg'\nplt.plot([1])\nplt.show()": "image/png",
    "%load_ext autoreload\n%autoreload 2": "",
    "%load_ext anything": "%load_ext anything " + NOTHING + ": No module named 'anything'.",
    "%load_ext tensorboard\n%tensorboard --logdir runs": "Line magic function `%tensorboard` not found",
    "%env": "",
    "%env OMP_NUM_THREADS=1": "env: OMP_NUM_THREADS=1",
    "%env NOTHING": NOTHING,
    "%cd /content/drive/MyDrive": "No such file or directory: '/content/drive/MyDrive'",
    "%run helpers.py": NOTHING,
    "%time x = sum(range(9))\nassert x == 36": "Wall time",
    "%timeit sum(range(9))": "1 loop each",
    "%pdb on\n%pdb off\n%debug": "",
    "from google.colab import drive\ndrive.mount('/drive')": "drive.mount('/drive'): name 'drive'",
    "import google.colab": f"{LEFT_OUT}, line 1: import google.colab: No module named 'google'",
    "import seaborn_of_nobody as sns\nsns.set_theme()\nsns.plot().x = 1": LEFT_OUT,
    "?sum": "Return the sum",
    "len?": "Return the number of items",
    "np.mean??": "def mean",
    "absent_name?": "Object `absent_name` not found",
    "get_ipython().system('touch $touched')": NOTHING,
    "get_ipython().system_raw('touch $touched')": NOTHING,
    "get_ipython().run_line_magic('matplotlib', 'inline')": "",
    "import os\nassert os.system('touch $touched') == 0": NOTHING,
    "x = os.popen('touch $touched').read()": "no other program runs while answers are graded",
    "import subprocess\nsubprocess.run(['touch', '$touched'])": "line 2: subprocess.run(['touch'",
    "print(subprocess.check_output('nvidia-smi', shell=True))": "no other program runs",
    "display(3)": "'text/plain': '3'",
    "from IPython.display import clear_output\nprint('a frame of before')\nclear_output(wait=True)": "",
    "from ipywidgets import interact\n@interact(a=(0, 3))\ndef shown(a=1):\n    print('at', a)": "at 1",
    "import ipywidgets\nipywidgets.IntSlider().observe(print)": "",
    "from tqdm.notebook import tqdm\nfor _ in tqdm(range(3)): pass": "0/3",
    "name = input('Your name?')\nprint(name.upper())": "nobody types an answer while answers are graded",
    "from getpass import getpass\nkey = getpass()": f"{LEFT_OUT}, line 2: key = getpass()",
    "breakpoint()": NOTHING,
    "import pdb\npdb.set_trace()": LEFT_OUT,
    "import urllib.request\npage = urllib.request.urlopen('https://example.org')": "there is no network",
    "data = open('/content/data.csv').read()\nlines = data.split()": "lines = data.split(): name 'data'",
    "import torch\nx = torch.ones(2, device='cuda:7')": LEFT_OUT,
    "import matplotlib\nmatplotlib.use('TkAgg')": LEFT_OUT,
    "torch.set_num_interop_threads(4)": NOTHING,
    "assert torch.compile(lambda x: x + 1)(2) == 3": f"torch.compile {NOTHING}: the code runs as it is.",
    "@torch.compile(fullgraph=True)\ndef two(x): return 2 * x\nassert two(2) == 4": NOTHING,
    "from multiprocessing import Pool\nwith Pool(2) as pool: pool.map(abs, [1])": "multiprocessing does not",
    "from concurrent.futures import ProcessPoolExecutor\npool = ProcessPoolExecutor(2)": LEFT_OUT,
    "from concurrent.futures import ThreadPoolExecutor\nlist(ThreadPoolExecutor(2).map(abs, [1]))": "",
    "from torch.utils.data import DataLoader\n"
    "assert len(list(DataLoader([1, 2], num_workers=2, persistent_workers=True, timeout=9))) == 2": (
        f"num_workers=2 {NOTHING}: one process loads the data."
    ),
    "import sys\nsys.stdout.writelines(['a', 'b'])\nsys.stderr.flush()\nassert not sys.stdout.isatty()": "ab",
    "import faulthandler\nfaulthandler.enable()": LEFT_OUT,
}

# A cell that starts with a magic of its own -> what is in its output, and a line that is true afterwards.
CELLS = {
    "%%time\nmeasured = 1": ("%%time " + NOTHING + ": the code below it runs without it.", "measured == 1"),
    "%%time\nimport seaborn_of_nobody\nafter_import = 1": (LEFT_OUT, "after_import == 1"),
    "%%capture kept\n!pip install einops\nprint('hidden')\ncaptured = 1": ("", "captured == 1"),
    "%%timeit\nnumbers.append(1)": ("1 loop each", "numbers == [1]"),
    "%%prun\nprofiled = 1": (NOTHING, "profiled == 1"),
    "%%writefile helpers_of_mine.py\nanswer = 42": ("Writing", "__import__('helpers_of_mine').answer == 42"),
    "%%bash\ntouch $touched": (f"%%bash {NOTHING}", "True"),
    "%%script bash --bg\ntouch $touched": (NOTHING, "True"),
    "%%html\n<b>bold</b>": ("<b>bold</b>", "True"),
    "%%of_a_package_that_is_absent\nran_below = 1": (NOTHING, "ran_below == 1"),
    "%%sql\nselect * from pupils": (NOTHING, "True"),
}


@pytest.fixture(scope="module", params=[*ENGINES, NONE], ids=lambda kind: kind.name)
def graded(request, tmp_path_factory):
    """A notebook of everyday cells, graded with an engine: the outcome, its outputs by cell, and a file."""
    if request.param not in (*engines(), NONE):
        pytest.skip(f"{request.param.name} does not work here")
    folder = tmp_path_factory.mktemp("everyday")
    touched = folder / "touched"
    told = f"\nprint({WENT_ON!r})"
    everyday = {line: line + told for line in LINES} | {first: first for first in CELLS}
    codes = ["numbers = []", *everyday.values(), *(f"print({true})" for _, true in CELLS.values())]
    names = ["numbers", *everyday, *(f"after {first}" for first in CELLS)]
    cells = [cell(f"cell-{n}", code.replace("$touched", str(touched))) for n, code in enumerate(codes)]
    setup = cell("setup", "import math\nimport numpy as np\nimport torch")
    compiled = right(ATTENTION).replace("def attention", "@torch.compile\ndef attention")
    answers = [
        answer("softmax", f"!pip install einops\nfrom google.colab import drive\n{right(SOFTMAX)}"),
        locked("softmax", checked(SOFTMAX, "softmax")),
        answer("mix", f"%%time\n%matplotlib widget\n{right(MIX)}"),
        locked("mix", checked(MIX, "mix")),
        answer("attention", compiled),
        locked("attention", checked(ATTENTION, "attention")),
        answer("drawn", f"def drawn():\n    return {DRAWN.format('torch')}"),  # as out here
        locked("drawn", f"import torch as here\nassert here.equal(drawn(), {DRAWN.format('here')})"),
    ]
    path = write(folder / "everyday.ipynb", [setup, *cells, *answers])
    with Grader(path, engine=request.param, seconds=Seconds(cell=20.0)) as grader:
        outcome = grader.grade("ada", path)
    by_cell = {one.cell_id: one.outputs for one in outcome.cells}
    return outcome, {name: by_cell.get(f"cell-{n}", ()) for n, name in enumerate(names)}, touched


def text(outputs):
    """All that a cell shows, with errors in capitals."""
    shown = (output.get("text") or output.get("data") or f"ERROR {output}" for output in outputs)
    return "\n".join(str(one) for one in shown)


def test_the_answers_around_everyday_lines_get_their_points(graded):
    outcome, _, touched = graded
    assert {task.grade_id: task.status for task in outcome.tasks} == dict.fromkeys(
        ("test_softmax", "test_mix", "test_attention", "test_drawn"), "right"
    )
    assert (outcome.status, outcome.reason, outcome.reports) == ("graded", "", ())
    assert not touched.exists()


def test_each_everyday_line_says_what_became_of_it_and_its_cell_goes_on(graded):
    _, outputs, touched = graded
    wrong = {
        line: text(outputs[line])
        for line, said in LINES.items()
        if said.replace("$touched", str(touched)) not in text(outputs[line])
        or not text(outputs[line]).rstrip().endswith(WENT_ON)
        or "ERROR {" in text(outputs[line])
    }
    assert wrong == {}
    assert not any("a frame of before" in text(shown) for shown in outputs.values())  # it was cleared


def test_the_code_below_a_cell_magic_runs_where_it_would_at_home(graded):
    _, outputs, _ = graded
    wrong = {
        first: (text(outputs[first]), text(outputs[f"after {first}"]))
        for first, (said, _) in CELLS.items()
        if said not in text(outputs[first]) or text(outputs[f"after {first}"]) != "True\n"
    }
    assert wrong == {}


def test_names_of_ipythons_methods_are_those_that_are_replaced():
    """Where IPython gives one of them another name, ours would never be called."""
    replaced = [name for name in vars(ConfinedShell) if inspect.isfunction(getattr(ConfinedShell, name))]
    ours = {"asks_for_the_absent"}
    (ipython,) = ConfinedShell.__bases__
    assert [name for name in replaced if not hasattr(ipython, name)] == sorted(ours)


def test_frames_that_follow_each_other_take_the_room_of_one():
    outputs = Outputs(1000)
    for frame in range(50):
        outputs.data("display_data", {"text/plain": f"{frame} {'x' * 700}"})
        outputs.clear(wait=True)
    assert outputs.lost == 0
    (last,) = outputs.done()
    assert last["data"]["text/plain"].startswith("49 ")
    outputs.stream("stdout", "done")
    assert [output.get("text") for output in outputs.done()] == ["done"]
    outputs.clear(wait=False)
    assert outputs.done() == []


def test_an_endless_cell_below_a_magic_times_out(engine, tmp_path):
    double = answer("double", "def double(x): return 2 * x")
    cells = [
        cell("endless", "%%capture\nimport time\ntime.sleep(99)"),
        double,
        locked("double", "assert double(2) == 4"),
    ]
    path = write(tmp_path / "endless.ipynb", cells)
    with Grader(path, engine=engine, seconds=Seconds(cell=3.0)) as grader:
        outcome = grader.grade("ada", path)
    assert (outcome.reason, outcome.score) == ("timed out in the cell 'endless'", 1.0)
