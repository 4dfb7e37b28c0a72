package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log/slog"

	"supercluster/internal/fault"
)

// Types of PEM blocks.
const (
	pemKey         = "PRIVATE KEY"
	pemCertificate = "CERTIFICATE"
)

// sealed is a private key that signs and can not be read: a printer that looks into it, by whatever means, finds the
// address of a function.
type sealed struct {
	public crypto.PublicKey
	sign   func(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

func seal(key crypto.Signer) sealed { return sealed{public: key.Public(), sign: key.Sign} }

// Public gives the public key.
func (s sealed) Public() crypto.PublicKey { return s.public }

// Sign signs a digest.
func (s sealed) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.sign(rand, digest, opts)
}

// FeedKey is the key that a region signs its feed with. Printing, logging or marshalling it shows the public key.
// Only Init and Load make one; the zero FeedKey can not sign.
type FeedKey struct {
	public [ed25519.PublicKeySize]byte
	sign   func(message []byte) [ed25519.SignatureSize]byte
}

func newFeedKey(key ed25519.PrivateKey) FeedKey {
	return FeedKey{
		public: [ed25519.PublicKeySize]byte(key.Public().(ed25519.PublicKey)),
		sign: func(message []byte) [ed25519.SignatureSize]byte {
			return [ed25519.SignatureSize]byte(ed25519.Sign(key, message))
		},
	}
}

// Sign gives the ed25519 signature of a message.
func (k FeedKey) Sign(message []byte) [ed25519.SignatureSize]byte { return k.sign(message) }

// Public gives the public key, which peers check signatures with.
func (k FeedKey) Public() [ed25519.PublicKeySize]byte { return k.public }

// String gives the public key in hex.
func (k FeedKey) String() string { return hex.EncodeToString(k.public[:]) }

// GoString gives the public key.
func (k FeedKey) GoString() string { return "ca.FeedKey(" + k.String() + ")" }

// LogValue gives the public key.
func (k FeedKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText gives the public key in hex.
func (k FeedKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// parseKey reads a private key in PEM form. Errors of parsers stay out of the text: they could quote what they read.
func parseKey(what, path string, data []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return nil, fault.New(fault.Invalid, "%s %s holds no PEM block", what, path)
	case block.Type != pemKey:
		return nil, fault.New(fault.Invalid, "%s %s holds a PEM block %q, not %q", what, path, block.Type, pemKey)
	}
	defer clear(block.Bytes)
	if next, _ := pem.Decode(rest); next != nil {
		return nil, fault.New(fault.Invalid, "%s %s holds more than one PEM block", what, path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s %s is damaged: it is no PKCS #8 key", what, path)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fault.New(fault.Invalid, "%s %s holds %s, which can not sign", what, path, keyType(key))
	}
	return signer, nil
}

// usableForCA says why a key can not be that of a CA, or nothing.
func usableForCA(key crypto.Signer) (problem string) {
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return ""
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return ""
		}
	}
	return "is " + keyType(key) + "; a CA key is ECDSA with P-256 or P-384, or ed25519"
}

func keyType(key any) string {
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return "an ed25519 key"
	case *ecdsa.PrivateKey:
		return "an ECDSA key with " + k.Curve.Params().Name
	default:
		return "a key of another type"
	}
}

// encodeKey gives the PEM form of a private key.
func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fault.New(fault.Internal, "a new key can not be encoded")
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}
