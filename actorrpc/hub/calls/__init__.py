"""What a hub keeps of calls while they are open: routes, interceptors, context and ends.

For those who handle calls: ``call`` (a hub's side of ``actorrpc.Call``), ``open_calls`` (those of a
connection) and ``failures`` (what an exception of an app's becomes). ``route`` and ``chain`` are made once
for an app.
"""
