package main

import (
	"slices"
	"strconv"
	"strings"

	"balsa.example/clerk"
)

// The grammar of a transaction's text. Line feeds count as spaces, but also part operations.
//
//	txn      = [ "if" compare { "and" compare } ] [ "then" ] ops [ "else" ops ]
//	compare  = number "(" keys ")" relation NUMBER
//	         | "value" "(" keys ")" relation STRING
//	         | ( "missing" | "exists" ) "(" keys ")"
//	number   = "version" | "create" | "mod" | "lease"
//	relation = "=" | "!=" | "<" | ">"
//	keys     = STRING | "prefix" STRING | "from" STRING | "range" STRING STRING
//	ops      = [ op { ";" op } ]
//	op       = "put" STRING STRING [ "lease" ID | "keep-lease" ] [ "prev" ]
//	         | "get" keys [ "limit" NUMBER ] [ "keys-only" ] [ "descending" ]
//	         | "del" keys [ "prev" ]
//	         | "(" txn ")"
const txnGrammar = `  if CONDITION and CONDITION ...     without it the operations are always executed
  then OPERATION; OPERATION ...      executed if all conditions hold
  else OPERATION; OPERATION ...      executed if one does not

CONDITION is one of
  version(KEY) = 1                   = != < >; also create(KEY) and mod(KEY), the revisions
                                     that created and last changed it, and lease(KEY)
  value(KEY) = "x"                   false if there is no such key
  missing(KEY)   exists(KEY)         missing also takes several keys, as below

OPERATION is one of
  put KEY VALUE                      then lease ID, or keep-lease; and prev, for the old value
  get KEY                            then limit N, keys-only, descending
  del KEY                            then prev, for the old value
  (if ... then ... else ...)         a transaction in it

Conditions, get and del take, in place of KEY, also prefix KEY, from KEY (all from it
on) and range KEY KEY (the second one not included): then a condition must hold for each.

Keys and values are words, or in quotes: "..." with escapes such as \n and \xff, or '...'
as they are. Operations are parted by ; or on lines of their own. # begins a comment.`

// maxTxnDepth is how deep transactions may be nested in a text. The servers' bound is lower.
const maxTxnDepth = 32

// keywords cannot be keys or values without quotes.
var keywords = []string{
	"if", "and", "then", "else", "put", "get", "del", "version", "create", "mod", "lease", "value", "missing", "exists",
	"prefix", "from", "range", "limit", "keys-only", "descending", "keep-lease", "prev",
}

// txnText is a transaction as it was written.
type txnText struct {
	conditions      []clerk.Compare
	then, otherwise []txnOp
}

// txnOp is an operation of it, with what is needed to describe its result.
type txnOp struct {
	verb string // put, get, del or txn
	keys string // as it was written, in quotes
	op   clerk.TxnOp
	txn  *txnText // of a nested one
}

// parseTxn reads a transaction's text. Errors name line and column.
func parseTxn(text string) (*txnText, error) {
	all, err := tokens(text)
	if err != nil {
		return nil, err
	}
	p := txnParser{ahead: all}
	txn, err := p.txn()
	switch {
	case err != nil:
		return nil, err
	case p.next().kind != tokenEnd:
		return nil, p.unexpected("; or a new line, then put, get, del or (")
	case len(txn.conditions)+len(txn.then)+len(txn.otherwise) == 0:
		return nil, usageError("the transaction is empty")
	}
	return txn, nil
}

type txnParser struct {
	ahead []token // the end is the last one
	last  token   // that was taken
	depth int
}

func (p *txnParser) next() token { return p.ahead[0] }

func (p *txnParser) take() token {
	p.last = p.ahead[0]
	if p.last.kind != tokenEnd {
		p.ahead = p.ahead[1:]
	}
	return p.last
}

// accept takes a keyword or mark if it is next.
func (p *txnParser) accept(text string) bool {
	t := p.next()
	found := (t.kind == tokenWord || t.kind == tokenMark) && t.text == text
	if found {
		p.take()
	}
	return found
}

func (p *txnParser) expect(mark string) error {
	if !p.accept(mark) {
		return p.unexpected(mark)
	}
	return nil
}

func (p *txnParser) unexpected(wanted string) error {
	t := p.next()
	return t.fail("%s is not expected here, but %s", t, wanted)
}

func (p *txnParser) txn() (txn *txnText, err error) {
	if p.depth++; p.depth > maxTxnDepth {
		return nil, p.next().fail("transactions are nested more than %d deep", maxTxnDepth)
	}
	defer func() { p.depth-- }()
	txn = &txnText{}
	if p.accept("if") {
		for more := true; more; more = p.accept("and") {
			c, err := p.condition()
			if err != nil {
				return nil, err
			}
			txn.conditions = append(txn.conditions, c)
		}
		if t := p.next(); t.text != "then" && t.text != "else" || t.kind != tokenWord {
			return nil, p.unexpected("and, then or else")
		}
	}
	p.accept("then")
	if txn.then, err = p.ops(); err == nil && p.accept("else") {
		if len(txn.conditions) == 0 {
			return nil, p.last.fail("there is an else, but no if")
		}
		txn.otherwise, err = p.ops()
	}
	return txn, err
}

// condition reads one condition.
func (p *txnParser) condition() (c clerk.Compare, err error) {
	subject := p.take()
	known := []string{"version", "create", "mod", "lease", "value", "missing", "exists"}
	if subject.kind != tokenWord || !slices.Contains(known, subject.text) {
		return c, subject.fail("%s is not a condition; conditions begin with %s%s", subject, strings.Join(known, ", "), didYouMean(subject.text, known))
	}
	if err := p.expect("("); err != nil {
		return c, err
	}
	one := p.next().kind == tokenString || !slices.Contains(spanWords, p.next().text)
	keys, _, err := p.keys()
	if err != nil {
		return c, err
	}
	if err := p.expect(")"); err != nil {
		return c, err
	}
	switch subject.text {
	case "missing":
		return clerk.Missing(keys), nil
	case "exists":
		if !one {
			return c, subject.fail("exists takes one key")
		}
		return clerk.Exists(keys.From), nil
	case "value":
		return p.content(clerk.Value(keys))
	default:
		return p.number(subject.text, keys)
	}
}

// related is what can be compared with a T.
type related[T any] interface {
	Equals(T) clerk.Compare
	NotEquals(T) clerk.Compare
	Above(T) clerk.Compare
	Below(T) clerk.Compare
}

// relation reads the sign of a comparison, and what makes a condition of it.
func relation[T any](p *txnParser, left related[T]) (func(T) clerk.Compare, error) {
	signs := map[string]func(T) clerk.Compare{"=": left.Equals, "!=": left.NotEquals, ">": left.Above, "<": left.Below}
	compare := signs[p.next().text]
	if compare == nil || p.next().kind != tokenMark {
		return nil, p.unexpected("=, !=, < or >")
	}
	p.take()
	return compare, nil
}

func (p *txnParser) content(left clerk.Content) (c clerk.Compare, err error) {
	compare, err := relation(p, left)
	if err != nil {
		return c, err
	}
	value, err := p.word("a value")
	if err != nil {
		return c, err
	}
	return compare([]byte(value)), nil
}

func (p *txnParser) number(of string, keys clerk.Span) (c clerk.Compare, err error) {
	left := map[string]func(clerk.Span) clerk.Number{
		"version": clerk.Version[clerk.Span], "create": clerk.CreateRevision[clerk.Span],
		"mod": clerk.ModRevision[clerk.Span], "lease": clerk.LeaseOf[clerk.Span],
	}[of](keys)
	compare, err := relation(p, left)
	if err != nil {
		return c, err
	}
	if of == "lease" {
		id, err := p.lease()
		return compare(uint64(id)), err
	}
	n, err := p.count("a number")
	return compare(n), err
}

// word reads a key or a value.
func (p *txnParser) word(what string) (string, error) {
	t := p.next()
	switch {
	case t.kind == tokenWord && slices.Contains(keywords, t.text):
		return "", t.fail("%s is expected here; write %q in quotes if it is one", what, t.text)
	case t.kind == tokenWord || t.kind == tokenString:
		return p.take().text, nil
	}
	return "", p.unexpected(what)
}

func (p *txnParser) key() (string, error) {
	at := p.next()
	key, err := p.word("a key")
	if err == nil && key == "" {
		err = at.fail("the key is empty")
	}
	return key, err
}

// count reads a number.
func (p *txnParser) count(what string) (uint64, error) {
	t := p.next()
	n, err := strconv.ParseUint(t.text, 10, 64)
	if err != nil || t.kind != tokenWord {
		return 0, p.unexpected(what)
	}
	p.take()
	return n, nil
}

// lease reads the id of a lease; 0: none.
func (p *txnParser) lease() (int64, error) {
	t := p.next()
	id, err := parseLease(t.text)
	if t.text == "0" {
		id, err = 0, nil
	}
	if err != nil || t.kind != tokenWord {
		return 0, p.unexpected("the id of a lease, as \"balsa lease grant\" prints it")
	}
	p.take()
	return id, nil
}

// spanWords begin what stands for more than one key.
var spanWords = []string{"prefix", "from", "range"}

// keys reads which keys are meant, and returns how that was written as well.
func (p *txnParser) keys() (span clerk.Span, written string, err error) {
	if t := p.next(); t.kind != tokenWord || !slices.Contains(spanWords, t.text) {
		key, err := p.key()
		return clerk.Key(key), strconv.Quote(key), err
	}
	word := p.take().text
	first, err := p.word("a key")
	if err != nil {
		return span, "", err
	}
	written = word + " " + strconv.Quote(first)
	switch word {
	case "prefix":
		return clerk.Prefix(first), written, nil
	case "from":
		return clerk.FromKey(first), written, nil
	}
	at := p.next()
	end, err := p.key()
	if err == nil && end <= first {
		err = at.fail("the range is empty: its end is not behind its beginning")
	}
	return clerk.Span{From: first, To: end}, written + " " + strconv.Quote(end), err
}
