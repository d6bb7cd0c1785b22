// Tables of the pages about numbers: a button in each heading sorts by its column.
function sortable(table) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order === 1 ? "ascending" : "descending");
      const value = (row) => row.cells[column].textContent.trim();
      const number = (text) =>
        parseFloat(text.replace(/[,\s]/g, "")) * ({ M: 1e6, G: 1e9 }[text.at(-1)] ?? 1);
      const rows = [...body.rows].sort((one, other) => {
        const [a, b] = [value(one), value(other)];
        const difference = number(a) - number(b);
        return order * (Number.isNaN(difference) ? a.localeCompare(b) : difference);
      });
      body.append(...rows);
    });
  });
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".sortable table").forEach(sortable);
});

// MathJax comes after the page.
addEventListener("load", () => {
  const waiting = document.querySelector("script[type='text/mathjax']");
  if (!waiting) return;
  const script = document.createElement("script");
  script.src = waiting.src;
  document.head.append(script);
});

// On a phone: the contents of the page close when they are used; the menu opens at this page.
document.addEventListener("click", ({ target }) => {
  if (target.closest("dialog a[href*='#']")) target.closest("dialog").close();
  if (target.closest("button.primary-toggle")) {
    setTimeout(() => document.querySelector("dialog li.current.active")?.scrollIntoView({ block: "center" }));
  }
});

// The other language opens at the same heading, with the same search.
const headings = () => [...document.querySelectorAll("article :is(h1, h2, h3)")];
document.addEventListener("click", ({ target }) => {
  const link = target.closest("a.language");
  if (!link || link.pathname.split("/").at(-1) !== location.pathname.split("/").at(-1)) return;
  const above = headings().filter((heading) => heading.getBoundingClientRect().top < 150).length;
  sessionStorage.setItem("heading", JSON.stringify([link.pathname, above - 1]));
  link.search = location.search;
});
addEventListener("load", () => {
  const [page, index] = JSON.parse(sessionStorage.getItem("heading") ?? "[]");
  if (page !== location.pathname) return;
  sessionStorage.removeItem("heading");
  if (index > 0 && !location.hash) headings()[index]?.scrollIntoView();
});

// What is folded is printed too.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not([open])").forEach((fold) => {
    fold.open = true;
    fold.dataset.printed = "";
  });
});
addEventListener("afterprint", () => {
  document.querySelectorAll("details[data-printed]").forEach((fold) => {
    fold.open = false;
    delete fold.dataset.printed;
  });
});
