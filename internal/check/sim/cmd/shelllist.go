package main

// shell are bugs in the shell of the Clerk, which the simulator replaces by its own. They are
// found by the tests of package clerk that run the shell in virtual time.
var shell = []mutant{
	{name: "shell-lost-with-the-stream-is-unsent", edit: edit{"clerk/queue.go",
		"			c.done <- result{Answer{Reached: c.reached}, l.lost(err)}\n", "			c.done <- result{Answer{Reached: c.reached}, notSent(err)}\n"}},
	{name: "shell-sends-again-on-the-next-stream", edit: edit{"clerk/queue.go",
		"	for _, c := range l.sent {\n		was := c.state\n", "	for _, c := range l.sent {\n		if c.state == sent && !l.closed {\n			c.state = queued\n			defer func() { l.queue = append(l.queue, c); l.queueBytes += c.bytes; l.wake.Set() }()\n			continue\n		}\n		was := c.state\n"}},
	{name: "shell-expired-is-unsent", edit: edit{"clerk/call.go",
		"Pending: c}, l.lost(errNoAnswer)}", "Pending: c}, notSent(errNoAnswer)}"}},
	{name: "shell-given-up-is-unsent", edit: edit{"clerk/call.go",
		"		return result{Answer{Reached: reached}, why}, true\n", "		return result{Answer{Reached: reached}, notSent(why)}, true\n"}},
	{name: "shell-queued-is-lost", edit: edit{"clerk/call.go",
		"		c.done <- result{err: notSent(errNoAnswer)}\n", "		c.done <- result{err: errNoAnswer}\n"}},
	{name: "shell-takes-the-unsent-from-the-queue", edit: edit{"clerk/stream.go",
		"		if err := send(batch); err != nil {\n			return err\n		}\n	}\n	return nil\n", "		if err := send(batch); err != nil {\n			l.drain()\n			return err\n		}\n	}\n	return nil\n"}},
	{name: "shell-numbers-no-requests", edit: edit{"clerk/queue.go",
		"	l.lastID++\n", "	l.lastID = l.lastID%2 + 1\n"}},
	{name: "shell-forgets-which-attempt", edit: edit{"clerk/operation.go",
		"	c.UnchangedSince, c.Attempt = step.UnchangedSince, step.Kind\n", "	c.UnchangedSince = step.UnchangedSince\n"}},
	{name: "shell-sends-the-first-request-again", edit: edit{"clerk/operation.go",
		"		o.req = attemptOf(o.req, step)\n", "		if step.Attempt == 0 {\n			o.req = attemptOf(o.req, step)\n		}\n"}},
	{name: "shell-counts-from-the-reply", edit: edit{"clerk/queue.go",
		"		if was == sent {\n			c.done <- result{Answer{Reached: c.reached}, l.lost(err)}", "		if was == sent {\n			c.done <- result{Answer{Reached: l.net.reached.Load()}, err}"}},
	{name: "shell-forgets-late-replies", edit: edit{"clerk/operation.go",
		"	if answer.Pending == nil || len", "	if true || len"}},
	{name: "shell-late-reply-of-another-attempt", edit: edit{"clerk/operation.go",
		"	attempt, late := o.step.Attempt, o.late\n", "	attempt, late := o.step.Attempt+1, o.late\n"}},
	{name: "shell-gives-up-what-was-sent", edit: edit{"clerk/operation.go",
		"			return o.op.Cancel(sent)\n", "			return o.op.Cancel(false)\n"}},
	{name: "shell-gives-up-what-was-not-sent", edit: edit{"clerk/operation.go",
		"	sent := !errors.Is(err, ErrNotSent)\n", "	sent := !errors.Is(err, ErrNotSent) || o.ended == nil\n"}},
	{name: "shell-maybe-is-no", edit: edit{"clerk/run.go",
		"	case Maybe:\n", "	case 0:\n"}},
}

func init() {
	for _, m := range shell {
		m.tests = [2]string{"./clerk", "^TestShell|^TestWhatIsQueued|^TestOldRevision"}
		mutants = append(mutants, m)
	}
}
