"""The reconciler: makes the broker agree with the history, by one duty after another.

It is a loop over rows, never an edge: a row that a pass misses is seen by the next. A
redispatch too many costs a message that finds its step taken.
"""
