"""What the API server refuses in objects of built-in kinds, in its words.

Each function yields the causes that it finds, in the server's order. Objects are in the form in which Go writes them,
with defaults filled in. What is checked follows pkg/apis/*/validation of Kubernetes, as far as clients and people
commonly run into it; docs/reference/in-memory-api-server.md says what is not.
"""
