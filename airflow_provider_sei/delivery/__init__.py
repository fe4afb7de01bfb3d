"""From a body on its way to a verified object under its final name, whole or not at all.

``records`` counts, ``content`` undoes and makes compression, ``stores`` publishes, ``deliver`` puts the three together.
"""
