"""Hints for exercise 10 in three steps, and why each model answer is as it is."""

HINTS = {
    "q1": (
        "Each line has one of four fates. Decide them in an order in which no line can be taken for another.",
        "Number all lines first, skip empty ones, try json.loads, and look at what came out: is it a dict?",
        "for number, line in enumerate(raw.split(b'\\n'), start=1), with try / except ValueError around "
        "json.loads(line).",
    ),
    "q2": (
        "You don't know how many rounds there will be. What tells you that the last one found nothing?",
        "Keep the text from before a round. If it is the same after all steps, you are done.",
        "In the loop over steps: text, changes = pattern.subn(replacement, text), and counts[name] += changes.",
    ),
    "q3": (
        "Which text's phrases are counted below the line of the fraction?",
        "`phrases` gives sets, and & is what both have. A text of three words has no phrase: what then?",
        "len(mine & phrases(other)) / len(mine), and 0.0 if mine is empty.",
    ),
    "q4": (
        "Two copies must become the very same text before they are hashed.",
        "Lower case, and every white space one space. Then eight bytes make a number below 2**64.",
        "int.from_bytes(digest[:8], 'big') / 2**64 < fraction, for the hash of ' '.join(text.lower().split()).",
    ),
    "q5": (
        "Write the row down, and below each place the token that comes next. Which of these are answer or END?",
        "Inputs are row[:-1]. The place of the prompt's last token is the first that learns.",
        "targets = [IGNORE] * (len(prompt) - 1) + answer + [END]; then fill both up, and cut both to length.",
    ),
    "q6": (
        "What must be done before a hit is replaced?",
        "Count with findall first; then replace, but only if there is a mark. A count of 0 is written down, too.",
        "counts[name] = len(re.findall(pattern, text)); if mark is not None: text = re.sub(pattern, mark, text).",
    ),
}

WHY = {
    "q1": "Line numbers help only if they are those of the file, so all lines are counted. Both errors, of JSON and"
    " of UTF-8, are ValueErrors, and `continue` makes a damaged line cost only itself. Nothing is left out in"
    " silence.",
    "q2": "One step makes work for another, so only a whole round without a change is the end. Then a second "
    "cleaning changes nothing, which is what you want of every cleaning: twice is the same as once.",
    "q3": "Likeness divides by the phrases of both and is small for a poem in a thick book. Containment divides by "
    "the poem's own phrases alone: 1 says that all of it is there.",
    "q4": "A hash decides for each text by itself, without a list and without chance: the same on every machine, "
    "and new texts move none of the old ones. What copies may differ in is taken away first, so that they "
    "fall on one side.",
    "q5": "The model sees the input at a place and is asked for the next token, so targets are the row moved by "
    "one. The last token of the prompt is the place where the answer begins. One END is learned, since a "
    "model must learn to stop; the others only fill.",
    "q6": "Hits are counted while they are still there. To keep is a decision as good as to mask, and a report that"
    " says 0 tells that somebody has looked.",
}
