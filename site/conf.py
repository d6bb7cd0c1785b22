"""The site: one configuration for both languages (`-t zh` builds the Chinese one)."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from course import URL, WORDS  # noqa: E402

CHINESE = tags.has("zh")  # noqa: F821  Sphinx defines `tags`

project = "归一化、跳跃、连结" if CHINESE else "Normalize, Skip, Concatenate"
author = "The authors of the course"
language = "zh_CN" if CHINESE else "en"

extensions = ["myst_nb", "sphinx_copybutton", "course"]

nb_execution_mode = "off"
nb_custom_formats = {".ipynb": "course.read"}
nb_render_markdown_format = "myst"  # tables, in what a cell shows
nb_code_prompt_show = "显示结果" if CHINESE else "Show what comes out"
nb_code_prompt_hide = "隐藏结果" if CHINESE else "Hide what comes out"
copybutton_selector = "div.highlight pre"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4

html_theme = "pydata_sphinx_theme"
html_title = project
html_baseurl = f"{URL}/{'zh' if CHINESE else 'en'}/"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
html_additional_pages = {"search": "search.html"}
html_context = {"default_mode": "auto"}
html_sidebars = {"**": ["contents.html"]}
html_theme_options = {
    "search_bar_text": WORDS["zh" if CHINESE else "en"]["search"],
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["language", "search-button"],
    "secondary_sidebar_items": ["page-toc", "tools"],
    "footer_start": ["licence.html"],
    "footer_end": [],
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "back_to_top_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
mathjax_path = "mathjax/tex-chtml.js"
mathjax_options = {"type": "text/mathjax"}  # course.js loads it after the page
mathjax3_config = {
    "loader": {"load": ["ui/lazy"]},  # formulas are set when they come into view
    "options": {"enableMenu": False},
    "chtml": {"matchFontHeight": False},
}
