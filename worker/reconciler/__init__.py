"""The reconciler: makes the broker agree with the history, duty by duty.

It works on rows, not on events: a row that a pass misses is seen by the next pass. A
redispatch too many costs a message, whose worker finds the step taken.
"""
