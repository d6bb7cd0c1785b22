// The search page: the pages that Pagefind finds, and the sections in which the words stand.
const root = new URL(`${document.documentElement.dataset.content_root}../`, location.href);
const pagefind = await import(new URL("pagefind/pagefind.js", root));
await pagefind.options({ baseUrl: root.pathname, excerptLength: 24 });
await pagefind.init();
const SHOWN = 20;

// First the pages that have all words, then those that have most of them.
async function find(query) {
  const { results } = await pagefind.search(query);
  const split = new Intl.Segmenter(document.documentElement.lang, { granularity: "word" });
  const words = [...split.segment(query)].filter((part) => part.isWordLike);
  if (results.length >= SHOWN || words.length < 2) return results;
  const pages = new Map();
  for (const { segment } of words) {
    for (const result of (await pagefind.search(segment)).results) {
      const { count = 0, sum = 0 } = pages.get(result.id) ?? {};
      pages.set(result.id, { ...result, count: count + 1, sum: sum + result.score });
    }
  }
  results.forEach(({ id }) => pages.delete(id));
  return [...results, ...[...pages.values()].sort((a, b) => b.count - a.count || b.sum - a.sum)];
}

function link(url, text) {
  const anchor = document.createElement("a");
  [anchor.href, anchor.textContent] = [url, text];
  return anchor;
}

const weight = (section) =>
  section.weighted_locations.reduce((sum, word) => sum + word.balanced_score, 0);

function show(page) {
  const item = document.createElement("li");
  item.append(link(page.url, page.meta.title));
  const sections = page.sub_results.toSorted((a, b) => weight(b) - weight(a));
  for (const section of sections.slice(0, 2)) {
    const line = document.createElement("p");
    if (section.title !== page.meta.title) line.append(link(section.url, section.title), ": ");
    line.insertAdjacentHTML("beforeend", section.excerpt);
    item.append(line);
  }
  return item;
}

const query = new URLSearchParams(location.search).get("q")?.trim();
if (query) {
  document.querySelectorAll("input[name=q]").forEach((input) => { input.value = query; });
  const results = await find(query);
  const status = document.querySelector(".search-summary");
  const { found, nothing } = status.dataset;
  const pages = await Promise.all(results.slice(0, SHOWN).map((result) => result.data()));
  document.querySelector("ul.search").append(...pages.map(show));
  status.textContent = pages.length ? found.replace("{}", pages.length) : nothing;
}
