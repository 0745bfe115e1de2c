"""One small rule per kind of event, in the verbs of ``Judgement``; ``transitions`` is their only door."""
