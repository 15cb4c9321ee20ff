"""The domain, one module a stage, in the words of the specification.

Data flows one way: manifest -> preflight -> gate -> split -> sft -> transcribe -> scoring ->
leaderboard -> diff -> decision. Nothing here imports Prefect; the flows do.
"""
