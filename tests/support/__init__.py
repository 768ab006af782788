"""
What the tests stand on: real registries, real images, and a check for anything left behind.
"""
