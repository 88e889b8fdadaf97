"""The concepts of the course, one folder each: its claims, its figures, its explorer.

A folder has the name of its notebook, `c03_qkv` that of notebooks/03_qkv.ipynb. It imports the library and
the engines (`plots`, `claims`, `widgets`), never another concept's folder.
"""
