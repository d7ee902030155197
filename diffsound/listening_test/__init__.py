"""A blind listening test as one static page, and what its results say."""
