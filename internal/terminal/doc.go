// Package terminal writes for people where they look at a terminal, and plainly everywhere else.
//
//	Terminal   text that may have colours; knows whether it is seen, and how large that is
//	Screen     a picture that is drawn anew, and leaves the terminal as it was
//	Line       one line that changes, and goes away
//	Cleaner    keys, values and other text of others, which may hold commands for a terminal: those do not pass
//	Clean      the same for a name or a reason, which have no line breaks either
//
// Colours are used on a terminal only, and not where NO_COLOR is set (https://no-color.org) or TERM is
// "dumb". A dumb terminal is never drawn anew.
package terminal
