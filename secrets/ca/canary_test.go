package ca

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"supercluster/internal/bubble"
)

// canary finds the private keys of an identity in text, in any form that a program would write by mistake.
type canary struct{ forms map[string][]byte }

func newCanary(t *testing.T, p Paths) canary {
	t.Helper()
	c := canary{map[string][]byte{}}
	for name, path := range map[string]string{"feed key": p.FeedKey, "CA key": p.CAKey} {
		block, _ := pem.Decode(get(t, path))
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		var secret []byte
		switch k := key.(type) {
		case ed25519.PrivateKey:
			secret = k.Seed()
		case *ecdsa.PrivateKey:
			if secret, err = k.Bytes(); err != nil {
				t.Fatal(err)
			}
			c.forms[name+" as a number"] = new(big.Int).SetBytes(secret).Append(nil, 10)
		}
		body := bytes.Split(get(t, path), []byte("\n"))[1]
		c.add(name, secret, body)
	}
	return c
}

func (c canary) add(name string, secret, body []byte) {
	c.forms[name+" raw"] = secret
	c.forms[name+" as hex"] = []byte(hex.EncodeToString(secret))
	c.forms[name+" as upper-case hex"] = bytes.ToUpper([]byte(hex.EncodeToString(secret)))
	c.forms[name+" as base64"] = []byte(base64.RawStdEncoding.EncodeToString(secret)[:40])
	c.forms[name+" as a list"] = bytes.Trim([]byte(fmt.Sprint(secret)), "[]")
	c.forms[name+" as a Go list"] = bytes.Trim([]byte(fmt.Sprintf("%#v", secret)), "[]byte{}")
	c.forms[name+" as PEM"] = body
	c.forms[name+" as the end of PEM"] = body[len(body)-24:]
}

func (c canary) silent(t *testing.T, where string, text []byte) {
	t.Helper()
	for form, secret := range c.forms {
		if bytes.Contains(text, secret) {
			t.Errorf("%s shows the %s", where, form)
		}
	}
}

// TestCanary_Sings: what the other tests look for is found when it is there.
func TestCanary_Sings(t *testing.T) {
	_, p := makeIdentity(t, "dc1", regionA, now)
	c := newCanary(t, p)
	for form, secret := range c.forms {
		if len(secret) < 24 {
			t.Errorf("%s: %d bytes are too few to look for", form, len(secret))
		}
	}
	block, _ := pem.Decode(get(t, p.FeedKey))
	key, _ := x509.ParsePKCS8PrivateKey(block.Bytes)
	for _, text := range []string{string(get(t, p.FeedKey)), string(get(t, p.CAKey)), fmt.Sprintf("%v", key), fmt.Sprintf("%#v", key), fmt.Sprintf("%x", key), fmt.Sprintf("%s", key)} {
		found := false
		for _, secret := range c.forms {
			found = found || bytes.Contains([]byte(text), secret)
		}
		if !found {
			t.Errorf("the canary does not see a key in %q", text)
		}
	}
}

// TestCanary_Printers prints, logs and marshals everything that holds a key.
func TestCanary_Printers(t *testing.T) {
	_, p := makeIdentity(t, "dc1", regionA, now)
	id, err := Load(p, now)
	if err != nil {
		t.Fatal(err)
	}
	i := makeIssuer(t, id, "n1", at(now))
	trust := trustOf(t, id)
	// A field that is not exported is printed without the methods of its type.
	hidden := struct {
		feed FeedKey
		id   *Identity
		all  Identity
	}{id.Feed, id, *id}
	c := newCanary(t, p)
	values := map[string]any{
		"FeedKey": id.Feed, "*FeedKey": &id.Feed, "*Identity": id, "Identity": *id, "hidden": hidden, "*hidden": &hidden, "*Issuer": i,
		"Trust": trust, "sealed": id.signer, "certificate": i.Certificate(), "*certificate": *i.Certificate(), "server TLS": trust.ServerTLS(i), "list": []any{id.Feed, id},
	}
	for name, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
			c.silent(t, name+" with "+verb, fmt.Appendf(nil, verb, value))
		}
		var logs bytes.Buffer
		slog.New(slog.NewTextHandler(&logs, nil)).Info("text", "value", value)
		slog.New(slog.NewJSONHandler(&logs, nil)).Info("json", "value", value)
		c.silent(t, name+" in the log", logs.Bytes())
		if data, err := json.Marshal(value); err == nil {
			c.silent(t, name+" as JSON", data)
		}
	}
	var logs bytes.Buffer
	slog.New(slog.NewTextHandler(&logs, nil)).Info("started", "identity", id, "feed", id.Feed)
	if want := "identity.region=dc1 identity.id=" + RegionText(regionA) + " identity.ca=" + id.Fingerprint() + " feed=" + id.Feed.String(); !bytes.Contains(logs.Bytes(), []byte(want)) {
		t.Errorf("the log has %s, want %s", logs.String(), want)
	}
}

// TestCanary_ErrorsOfBadFiles looks into every error that Load has.
func TestCanary_ErrorsOfBadFiles(t *testing.T) {
	for _, tt := range append(badKeyFiles(), badPublicFiles()...) {
		_, p := makeIdentity(t, "dc1", regionA, now)
		_, b := makeIdentity(t, "dc2", regionB, now)
		own, other := newCanary(t, p), newCanary(t, b)
		good := p
		// What a mistaken path would quote: the body of a key without its frame.
		tt.spoil(t, &p, b)
		for _, paths := range []Paths{p, {good.CAKey, p.FeedKey, p.CAKey, p.CACert}, {p.Region, good.CACert, p.CAKey, p.CACert}, {p.Region, p.FeedKey, p.CAKey, good.FeedKey}} {
			_, err := Load(paths, now)
			text := fmt.Appendf(nil, "%v %+v %#v", err, err, err)
			own.silent(t, tt.name, text)
			other.silent(t, tt.name, text)
		}
	}
}

// TestCanary_KeysInOddForms gives Load keys whose frame is broken, where parsers like to quote.
func TestCanary_KeysInOddForms(t *testing.T) {
	_, p := makeIdentity(t, "dc1", regionA, now)
	c := newCanary(t, p)
	for _, path := range []string{p.FeedKey, p.CAKey} {
		whole := get(t, path)
		block, _ := pem.Decode(whole)
		body := bytes.Split(whole, []byte("\n"))[1]
		for _, data := range [][]byte{
			body, block.Bytes, append([]byte("id: "), body...), append([]byte("created: {"), body...), append([]byte("- "), body...),
			whole[:len(whole)-10], whole[5:], pem.EncodeToMemory(&pem.Block{Type: string(body[:40]), Bytes: nil}),
			pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: block.Bytes}),
		} {
			odd := filepath.Join(t.TempDir(), "odd")
			put(t, odd, data, 0o600)
			for _, paths := range []Paths{{odd, p.FeedKey, p.CAKey, p.CACert}, {p.Region, odd, p.CAKey, p.CACert}, {p.Region, p.FeedKey, odd, p.CACert}, {p.Region, p.FeedKey, p.CAKey, odd}} {
				_, err := Load(paths, now)
				if err == nil {
					t.Errorf("%q was accepted", data)
				}
				c.silent(t, "the error", fmt.Appendf(nil, "%v %#v", err, err))
			}
		}
	}
}

// TestCanary_IssuingAndRenewal listens to all that an Issuer logs in a week, and looks into the public files.
func TestCanary_IssuingAndRenewal(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		id, p := makeIdentity(t, "dc1", regionA, time.Now())
		c := newCanary(t, p)
		var logs bytes.Buffer
		i, err := NewIssuer(IssuerConfig{Identity: id, Server: "n1", Log: slog.New(slog.NewJSONHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- i.Run(ctx) }()
		time.Sleep(7 * 24 * time.Hour)
		synctest.Wait()
		cancel()
		<-done
		if bytes.Count(logs.Bytes(), []byte("certificate renewed")) < 8 {
			t.Errorf("the log of a week: %s", logs.String())
		}
		c.silent(t, "the log", logs.Bytes())
		c.silent(t, "the certificate", i.Certificate().Certificate[0])
		c.silent(t, "the region file", get(t, p.Region))
		c.silent(t, "the root", get(t, p.CACert))
		c.silent(t, "the root", id.Root.Raw)
		entries, err := os.ReadDir(filepath.Dir(p.Region))
		if err != nil || len(entries) != 4 {
			t.Errorf("the folder holds %v (%v)", entries, err)
		}
	})
}
