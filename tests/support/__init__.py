"""What suites of tests borrow from each other, one purpose a file.

A suite imports from its own folder, from here, and from ``tests.apps``; ``tests/test_suites.py`` holds that.
"""
