"""The gateway: calls to models pass through it unchanged, and are recorded on the way.

`app` is the ASGI application; `connection` and `pool` speak to upstreams; `request` and `reading` look at what passes
by; `records` and `recorder` write it down, off the path of the bytes.
"""
