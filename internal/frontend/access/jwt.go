package access

import (
	"crypto"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"balsa.example/state/auth"
)

// ErrTokens refuses a description of tokens that makes no sense.
var ErrTokens = errors.New("invalid description of tokens")

// ParseTokens reads how tokens are made, as etcd's --auth-token has it:
//
//	simple
//	jwt,sign-method=RS256[,pub-key=FILE][,priv-key=FILE][,ttl=10m]
//
// The ttl is of simple tokens. Without a private key tokens can be proved, and none can be made.
func ParseTokens(text string, ttl time.Duration) (Tokens, error) {
	kind, rest, _ := strings.Cut(text, ",")
	if kind == "simple" && rest == "" || text == "" {
		return NewSimple(ttl), nil
	}
	if kind != "jwt" {
		return nil, fmt.Errorf("%w: %q is neither simple nor jwt with its options", ErrTokens, text)
	}
	options := map[string]string{}
	for option := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(option, "=")
		if _, twice := options[name]; !ok || twice {
			return nil, fmt.Errorf("%w: %q is no option, or given twice", ErrTokens, option)
		}
		options[name] = value
	}
	for name := range options {
		switch name {
		case "sign-method", "pub-key", "priv-key", "ttl":
		default:
			return nil, fmt.Errorf("%w: unknown option %q", ErrTokens, name)
		}
	}
	return newJWT(options)
}

// jwtTokens are JSON Web Tokens with the claims that etcd's have: username, revision and exp. The
// revision is the stamp of the user, and one that is later is good as well: other issuers do not
// know it.
type jwtTokens struct {
	method  jwt.SigningMethod
	private any // nil: tokens are made elsewhere
	public  any
	ttl     time.Duration
}

func newJWT(options map[string]string) (*jwtTokens, error) {
	j := &jwtTokens{method: jwt.GetSigningMethod(options["sign-method"]), ttl: DefaultTTL}
	if j.method == nil || j.method == jwt.SigningMethodNone {
		return nil, fmt.Errorf("%w: unknown sign-method %q", ErrTokens, options["sign-method"])
	}
	if text := options["ttl"]; text != "" {
		var err error
		if j.ttl, err = time.ParseDuration(text); err != nil || j.ttl <= 0 {
			return nil, fmt.Errorf("%w: ttl %q", ErrTokens, text)
		}
	}
	private, err := readKey(options["priv-key"])
	if err != nil {
		return nil, err
	}
	public, err := readKey(options["pub-key"])
	if err != nil {
		return nil, err
	}
	return j, j.useKeys(private, public)
}

func readKey(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokens, err)
	}
	return b, nil
}

func (j *jwtTokens) useKeys(private, public []byte) error {
	switch j.method.(type) {
	case *jwt.SigningMethodHMAC:
		if len(private) == 0 {
			return errNoKey
		}
		j.private, j.public = private, private
		return nil
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		return useKeys(j, private, public, jwt.ParseRSAPrivateKeyFromPEM, jwt.ParseRSAPublicKeyFromPEM)
	case *jwt.SigningMethodECDSA:
		return useKeys(j, private, public, jwt.ParseECPrivateKeyFromPEM, jwt.ParseECPublicKeyFromPEM)
	case *jwt.SigningMethodEd25519:
		return useKeys(j, private, public, jwt.ParseEdPrivateKeyFromPEM, jwt.ParseEdPublicKeyFromPEM)
	}
	return fmt.Errorf("%w: sign-method %s is not supported", ErrTokens, j.method.Alg())
}

var errNoKey = fmt.Errorf("%w: there is no key", ErrTokens)

// useKeys parses a private key, a public one, or both of the same pair.
func useKeys[Private, Public any](
	j *jwtTokens, private, public []byte, parsePrivate func([]byte) (Private, error), parsePublic func([]byte) (Public, error),
) error {
	if len(public) > 0 {
		key, err := parsePublic(public)
		if err != nil {
			return fmt.Errorf("%w: pub-key: %w", ErrTokens, err)
		}
		j.public = key
	}
	if len(private) == 0 {
		if j.public == nil {
			return errNoKey
		}
		return nil
	}
	key, err := parsePrivate(private)
	if err != nil {
		return fmt.Errorf("%w: priv-key: %w", ErrTokens, err)
	}
	own := any(key).(interface{ Public() crypto.PublicKey }).Public()
	if j.public != nil && !own.(interface{ Equal(crypto.PublicKey) bool }).Equal(j.public) {
		return fmt.Errorf("%w: pub-key and priv-key are no pair", ErrTokens)
	}
	j.private, j.public = key, own
	return nil
}

func (j *jwtTokens) issue(_ *auth.Table, _ uint64, u User, now time.Time) (string, error) {
	if j.private == nil {
		return "", errors.New("this server proves tokens, and has no private key to make any")
	}
	claims := jwt.MapClaims{"username": u.Name, "revision": u.Stamp, "exp": now.Add(j.ttl).Unix()}
	return jwt.NewWithClaims(j.method, claims).SignedString(j.private)
}

func (j *jwtTokens) verify(_ *auth.Table, _ uint64, token string, now time.Time) (User, bool) {
	if len(token) > maxJWTBytes {
		return User{}, false
	}
	// Without the list of methods a caller could choose one that takes the public key for a secret.
	parser := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithValidMethods([]string{j.method.Alg()}), jwt.WithTimeFunc(func() time.Time { return now }))
	var claims jwt.MapClaims
	parsed, err := parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return j.public, nil })
	if err != nil || !parsed.Valid {
		return User{}, false
	}
	name, isText := claims["username"].(string)
	stamp, isNumber := claims["revision"].(float64)
	if !isText || !isNumber || name == "" || stamp < 0 {
		return User{}, false
	}
	// auth.ByCertificate is not for tokens.
	return User{name, uint64(min(stamp, math.MaxInt64/2))}, true
}

const maxJWTBytes = 8 << 10
