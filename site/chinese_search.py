"""Search in Chinese by pairs of characters: the same split in the index and in the browser.

Chinese text has no spaces between words. Every run of Chinese characters is indexed by its single
characters and its pairs, and a query is split into pairs, all of which must be on the page.
"""

import re

from sphinx.search import SearchLanguage, languages

HAN = r"[\u4e00-\u9fff]+"


class ChineseByPairs(SearchLanguage):
    lang = "zh"
    language_name = "Chinese"
    stopwords = frozenset()
    js_splitter_code = """
function splitQuery(query) {
  const words = [];
  for (const part of query.match(/[\\u4e00-\\u9fff]+|[\\p{L}\\p{N}_]+/gu) || []) {
    if (!/^[\\u4e00-\\u9fff]{2}/.test(part)) words.push(part);
    else for (let i = 0; i + 1 < part.length; i++) words.push(part.slice(i, i + 2));
  }
  return words;
}
"""

    def split(self, text):
        words = []
        for part in re.findall(rf"{HAN}|\w+", re.sub(f"({HAN})", r" \1 ", text)):
            if re.match(HAN, part):
                words += [*part, *(part[i : i + 2] for i in range(len(part) - 1))]
            else:
                words.append(part)
        return words

    def stem(self, word):
        return word.lower()

    def word_filter(self, word):
        return True


languages["zh"] = languages["zh_CN"] = ChineseByPairs
