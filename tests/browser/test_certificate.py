"""A certificate as a page: on a phone, on a laptop, light and dark, on paper."""

import re
from collections.abc import Iterator

import axe_playwright_python
import pytest
from playwright.sync_api import BrowserContext, Page

from course_lib.concepts.c09_real_models.capstone.certificate import Certificate
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS

AXE = axe_playwright_python.__path__[0] + "/axe.min.js"
LONGEST = Certificate(
    name="Maximiliane-Wilhelmina Donaudampfschifffahrtsgesellschafter",
    model="SmolLM2-135M-Instruct",
    n_layers=30,
    is_real=False,
    measured={part: "244 uses, off by 1 in 400,000" for part in PARTS if part not in ("cache", "block")},
    answer="The capital of France is Paris.",
    compared="at temperature 0, the same as the course's; scores off by 1 in 400,000",
    drawn="The story of a cat who learns to read is a tale of " + "extraordinary" * 5,
    seed=0,
    speed=0.89,
    digest="6c" * 32,
)


WIDE = """() => [...document.querySelectorAll("p, h1, td, th, pre, svg")]
    .filter(it => it.getBoundingClientRect().right > innerWidth || it.scrollWidth > it.clientWidth + 1)
    .filter(it => getComputedStyle(it).display !== "inline").map(it => it.outerHTML)"""


@pytest.fixture(scope="module")
def certificate(context: BrowserContext, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page of a certificate with much to say."""
    page = context.new_page()
    path = tmp_path_factory.mktemp("certificate") / "certificate.html"
    page.set_content(LONGEST.save(path).read_text(encoding="utf-8"))
    page.add_script_tag(path=AXE)
    yield page
    page.close()


@pytest.mark.parametrize("width", [390, 1366])
def test_it_fits(certificate: Page, width: int) -> None:
    certificate.set_viewport_size({"width": width, "height": 800})
    assert certificate.evaluate(WIDE) == []
    assert certificate.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read(certificate: Page, scheme: str) -> None:
    certificate.emulate_media(color_scheme=scheme)
    found = certificate.evaluate("axe.run()")
    assert found["passes"]
    assert [(rule["help"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]] == []


def test_on_paper_it_is_one_page(certificate: Page) -> None:
    pdf = certificate.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 1
