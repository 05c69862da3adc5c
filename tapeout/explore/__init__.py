"""Design-space exploration: a study file says what is varied and what is wanted; points, wherever they run, go to a store.

study.py    what a STUDY.yaml says          space.py    axes and assignments      methods.py  which points are asked
point.py    what one point is worth         sharing.py  networks that processes share
workers.py  where points run                store.py    what is done is done      search.py   the loop over all this
front.py    Pareto set, hypervolume         report.py   what is written at the end
"""
