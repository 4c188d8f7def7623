package translate

import (
	"testing"

	"balsa.example/api"
	"balsa.example/state/auth"
)

func TestAHashBelongsToAUserThatIsAddedWithIt(t *testing.T) {
	hash := []byte("$2a$04$x")
	c, err := UsersChange(&api.UsersChange{Kind: api.UsersChange_USER_ADD_HASHED, User: "a", PasswordHash: hash})
	if err != nil || c.Kind != auth.UserAdd || c.User != "a" || string(c.Hash) != string(hash) || c.NoPassword {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []*api.UsersChange{
		{Kind: api.UsersChange_USER_ADD_HASHED, User: "a"},
		{Kind: api.UsersChange_USER_ADD_HASHED, User: "a", PasswordHash: hash, Password: "p"},
		{Kind: api.UsersChange_USER_ADD_HASHED, User: "a", PasswordHash: hash, NoPassword: true},
		{Kind: api.UsersChange_USER_ADD, User: "a", PasswordHash: hash},
		{Kind: api.UsersChange_USER_PASSWORD, User: "a", PasswordHash: hash},
	} {
		if c, err := UsersChange(bad); err == nil {
			t.Errorf("%v is %+v", bad, c)
		}
	}
}
