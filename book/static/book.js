// What does not fit its place is moved with the arrow keys, too: it can be reached with the keyboard.
const wide = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const fits = target.scrollWidth <= target.clientWidth && target.scrollHeight <= target.clientHeight;
    target.tabIndex = fits ? -1 : 0;
  }
});
addEventListener("load", () => {
  for (const part of document.querySelectorAll(".bd-article :is(pre, table, .course-formula)")) wide.observe(part);
});
