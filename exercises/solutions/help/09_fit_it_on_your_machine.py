"""Hints for exercise 09 in three steps, and why each model answer is as it is."""

HINTS = {
    "q1": (
        "Three kinds of numbers need memory. Which of them has a frozen weight?",
        "All parameters are stored; gradients and moments exist only for those that are trained.",
        "Four bytes times: parameters, plus trained, plus moments times trained.",
    ),
    "q2": (
        "What does one token of one row leave behind, in bytes?",
        "A key and a value, in each of n_layer blocks, each n_embd numbers of `size` bytes. All rows share the room.",
        "Divide `room` by batch times that, rounded down with //, and take no more than config.context.",
    ),
    "q3": (
        "A step may be taken only if the batch that it leads to still fits.",
        "The whole work with `more` texts must be asked: its context, dtype and all else stay.",
        "If needs(config, replace(work, batch=more)) is at most memory, batch becomes more.",
    ),
    "q4": (
        "Do all blocks fit into the nearest place? Only if they don't, something must be copied there.",
        "Then the nearest place has `size` bytes less for blocks of its own. Less than nothing left means None.",
        "After that each place takes room // size blocks, but never more than are still without a place.",
    ),
    "q5": (
        "Two cases pass the error on, and one goes on. Which are they?",
        "It is passed on if memory is not the cause, or if batch is 1 already.",
        "`if not full or batch == 1: raise`, and otherwise batch is halved with //. `done` stays untouched.",
    ),
    "q6": (
        "How many tokens a second would reading alone allow, and how many computing alone?",
        "Once through all weights takes size * parameters / bandwidth seconds, and gives a token to each text.",
        "The smaller of texts * bandwidth / (size * parameters) and flops / (2 * parameters).",
    ),
}

WHY = {
    "q1": "Weights are paid for all parameters, gradients and moments only for what learns. That is why an adapter "
    "of one percent trains with little more memory than the model takes for reading: 4 instead of 16 bytes a "
    "parameter.",
    "q2": "A token leaves 2 · n_layer · n_embd numbers, whatever the number of heads, since all heads together are "
    "as wide as the model. Rows share the room, only whole tokens count, and there is no position beyond the "
    "context.",
    "q3": "This is a binary search: each step decides one binary digit of the answer, from the largest on. It works"
    " because more texts never need less memory. Ten questions instead of a thousand.",
    "q4": "The buffer is needed only when something is copied, so it is subtracted only when the blocks don't all "
    "fit. Later places need none: blocks are computed in the nearest place alone. To refuse before anything "
    "is allocated costs nothing; to find out halfway costs minutes.",
    "q5": "What is done stays in `done`, and the loop begins again behind it with half the batch. An error that is "
    "not about memory would come again with any batch, and with batch 1 there is nothing to halve: both must "
    "be seen.",
    "q6": "Each weight that arrives is used once for every text, so reading is shared and computing is not. With "
    "few texts the memory is the limit and each further text is free; beyond the bend, flops / (2 · "
    "parameters) is all there is.",
}
