// Arrow keys, space and Page Up and Down go from slide to slide.
const all = [...document.querySelectorAll("section")];
const here = () => all.reduce((best, one, i) =>
  Math.abs(one.getBoundingClientRect().top) < Math.abs(all[best].getBoundingClientRect().top) ? i : best, 0);
const steps = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
addEventListener("keydown", (event) => {
  if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  if (matchMedia("(max-width: 727px), (max-height: 410px)").matches) return;  // slides as tall as their text
  event.preventDefault();
  const next = all[Math.min(Math.max(here() + steps[event.key], 0), all.length - 1)];
  next.scrollIntoView();
  next.focus({ preventScroll: true });
});
