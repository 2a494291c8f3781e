"""Pages for people and JSON for programs.

Pure: takes views, returns text and renderables.
"""
