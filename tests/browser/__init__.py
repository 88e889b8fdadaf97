"""A package, so that JupyterLab and the browser end with the last of these tests."""
