"""The same load as N tasks of ECS: each sends its share, all begin at one moment, and what comes of
it is merged exactly. ECS starts and ends the tasks; a bucket carries the documents (`plan`)."""
