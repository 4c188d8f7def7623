package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"balsa.example/kv"
)

// keyFiles writes a key pair.
func keyFiles(t *testing.T, private crypto.Signer) (privateFile, publicFile string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	var der []byte
	var err error
	kind := "PRIVATE KEY"
	if key, ok := private.(*ecdsa.PrivateKey); ok {
		kind = "EC PRIVATE KEY"
		der, err = x509.MarshalECPrivateKey(key)
	} else {
		der, err = x509.MarshalPKCS8PrivateKey(private)
	}
	privateFile = write("private", kind, der, err)
	der, err = x509.MarshalPKIXPublicKey(private.Public())
	return privateFile, write("public", "PUBLIC KEY", der, err)
}

func testKeys(t *testing.T) map[string]crypto.Signer {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{"RS256": rsaKey, "PS384": rsaKey, "ES256": ecKey, "EdDSA": edKey}
}

func TestJSONWebTokens(t *testing.T) {
	m := newMember(t, append(users(t), enable)...)
	for method, key := range testKeys(t) {
		private, public := keyFiles(t, key)
		tokens, err := ParseTokens("jwt,sign-method="+method+",priv-key="+private+",pub-key="+public+",ttl=1m", 0)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		c, clk := newControl(m, tokens)
		token, err := c.Authenticate(t.Context(), "", "a", "pw")
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		proves, err := ParseTokens("jwt,sign-method="+method+",pub-key="+public, 0)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		verifier, _ := newControl(m, proves)
		verifier.cfg.Clock = clk.Now
		for _, c := range []*Control{c, verifier} {
			if u, err := c.Identify(t.Context(), token, ""); err != nil || u.Name != "a" || u.Stamp != m.now.User("a").Stamp {
				t.Errorf("%s: %v, %v", method, u, err)
			}
		}
		if _, err := verifier.Authenticate(t.Context(), "", "a", "pw"); err == nil {
			t.Errorf("%s: a token is made without a private key", method)
		}
		clk.now = clk.now.Add(61 * time.Second)
		if _, err := c.Identify(t.Context(), token, ""); !errors.Is(err, kv.ErrInvalidToken) {
			t.Errorf("%s: after its time: %v", method, err)
		}
	}
}

// TestATokenOfAnotherMethodIsRefused: the public key is no secret, so a token that is signed with
// it must not count.
func TestATokenOfAnotherMethodIsRefused(t *testing.T) {
	m := newMember(t, append(users(t), enable)...)
	key := testKeys(t)["RS256"]
	_, public := keyFiles(t, key)
	tokens, err := ParseTokens("jwt,sign-method=RS256,pub-key="+public, 0)
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := os.ReadFile(public)
	claims := jwt.MapClaims{"username": "root", "revision": 1 << 40}
	forged, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
	unsigned, _ := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
	c, _ := newControl(m, tokens)
	for _, token := range []string{forged, unsigned, "x", "a.b.c"} {
		if _, err := c.Identify(t.Context(), token, ""); !errors.Is(err, kv.ErrInvalidToken) {
			t.Errorf("%v", err)
		}
	}
	// Another issuer does not know the stamp of a user, and says that it is later than any.
	issued, _ := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(key)
	if u, err := c.Identify(t.Context(), issued, ""); err != nil || u.Name != "root" {
		t.Errorf("%v, %v", u, err)
	}
	for name, claims := range map[string]jwt.MapClaims{
		"no user": {"revision": 5}, "no revision": {"username": "root"}, "a revision that is text": {"username": "root", "revision": "5"},
		"below zero": {"username": "root", "revision": -1}, "before the password": {"username": "root", "revision": 1},
	} {
		token, _ := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(key)
		if _, err := c.Identify(t.Context(), token, ""); !errors.Is(err, kv.ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDescriptionsOfTokens(t *testing.T) {
	keys := testKeys(t)
	private, _ := keyFiles(t, keys["RS256"])
	_, other := keyFiles(t, keys["ES256"])
	_, another := keyFiles(t, testKeys(t)["RS256"])
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, good := range map[string]bool{
		"":       true,
		"simple": true,
		"jwt,sign-method=HS256,priv-key=" + secret:  true,
		"jwt,sign-method=RS512,priv-key=" + private: true,
		"simple,ttl=5m":                          false,
		"other":                                  false,
		"jwt":                                    false,
		"jwt,sign-method=RS256":                  false,
		"jwt,sign-method=none":                   false,
		"jwt,sign-method=HS256":                  false,
		"jwt,sign-method=XX,priv-key=" + private: false,
		"jwt,sign-method=RS256,priv-key=" + private + ",ttl=x":              false,
		"jwt,sign-method=RS256,priv-key=" + private + ",ttl=0s":             false,
		"jwt,sign-method=RS256,priv-key=" + private + ",sign-method=X":      false,
		"jwt,sign-method=RS256,priv-key=" + private + ",color=red":          false,
		"jwt,sign-method=RS256,priv-key=" + private + ",pub-key=" + other:   false,
		"jwt,sign-method=RS256,priv-key=" + private + ",pub-key=" + another: false,
		"jwt,sign-method=ES256,priv-key=" + private:                         false,
		"jwt,sign-method=RS256,priv-key=/does/not/exist":                    false,
	} {
		if _, err := ParseTokens(text, 0); (err == nil) != good || err != nil && !errors.Is(err, ErrTokens) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
