// How a deck behaves; reveal.js does the rest.
const { Reveal, RevealNotes } = window;

// A deck that is shown again is asked anew: what the last room chose is forgotten.
try {
  const own = Object.keys(localStorage).filter((key) => key.startsWith("prediction ") && key.endsWith(` of ${location.pathname}`));
  for (const key of own) localStorage.removeItem(key);
} catch {
  // The browser keeps nothing: nothing to forget.
}

Reveal.initialize({
  width: 1280,
  height: 720,
  margin: 0,
  maxScale: 4,
  center: false,
  display: "flex",
  hash: true,
  controls: false,
  progress: false,
  transition: "none",
  backgroundTransition: "none",
  viewDistance: 1000, // explorers measure their room before their slide is shown
  mobileViewDistance: 1000,
  plugins: [RevealNotes],
});

// After a click on an answer the keys go on to the next slide, not to the next answer.
document.addEventListener("pointerup", ({ target }) => {
  if (target.closest?.(".course-answers label")) setTimeout(() => document.activeElement?.blur());
});
// Nor do they stay with an explorer whose slide is gone.
Reveal.on("slidechanged", () => {
  document.activeElement?.blur();
  window.focus();
});
