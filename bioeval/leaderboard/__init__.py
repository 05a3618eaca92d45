"""Many models on many tasks as one page: places with intervals, ties, baselines, leakage and cost.

`entries` reads folders of `eval run` and files of others, `board` computes places and tie groups, `page` and
`markdown` show them; `build` joins these and writes the HTML file with its JSON and Markdown twins.
"""
