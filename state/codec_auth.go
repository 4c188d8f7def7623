package state

import "balsa.example/state/auth"

// change writes a change of users and roles. None is written as one of an unknown kind, which
// every replica refuses.
func (e *encoder) change(c *auth.Change) {
	if c == nil {
		c = &auth.Change{}
	}
	e.b = append(e.b, byte(c.Kind))
	e.text(c.User)
	e.text(c.Role)
	e.bytes(c.Hash)
	e.flag(c.NoPassword)
	e.b = append(e.b, byte(c.Permission.Access))
	e.text(c.Permission.Key)
	e.text(c.Permission.End)
	e.bytes(c.Secret)
}

func (d *decoder) change() *auth.Change {
	c := &auth.Change{Kind: auth.ChangeKind(d.byte()), User: d.text(), Role: d.text(), Hash: d.bytes(), NoPassword: d.flag()}
	c.Permission = auth.Permission{Access: auth.Access(d.byte()), Key: d.text(), End: d.text()}
	c.Secret = d.bytes()
	return c
}
