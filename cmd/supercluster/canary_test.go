package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"supercluster/internal/procs"
	"supercluster/secrets/ca"
)

// TestCanary_KeysStayInTheirFiles runs dev twice with a folder, writes something, and looks for the private keys of
// its region in every other file and in what it logs and prints.
func TestCanary_KeysStayInTheirFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var output lockedBuffer
	for range 2 {
		runDevOnce(t, dir, &output)
	}
	paths := ca.In(filepath.Join(dir, "identity"))
	id, err := ca.Load(paths, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(output.String(), id.Fingerprint()) || !strings.Contains(output.String(), ca.RegionText(id.RegionID)) {
		t.Errorf("the log names neither id nor fingerprint: %s", output.String())
	}
	secrets := map[string][]byte{}
	for _, path := range []string{paths.FeedKey, paths.CAKey} {
		for form, secret := range keyForms(t, path) {
			secrets[filepath.Base(path)+" "+form] = secret
		}
	}
	silent := func(where string, data []byte) {
		for form, secret := range secrets {
			if bytes.Contains(data, secret) {
				t.Errorf("%s shows %s", where, form)
			}
		}
	}
	silent("the output", []byte(output.String()))
	files := 0
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == paths.FeedKey || path == paths.CAKey {
			return err
		}
		data, err := os.ReadFile(path)
		silent(path, data)
		files++
		return err
	})
	if err != nil || files < 10 {
		t.Errorf("%d files were looked at (%v)", files, err)
	}
}

// keyForms are the forms in which a program would write a key by mistake.
func keyForms(t *testing.T, path string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
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
	}
	body := bytes.Split(text, []byte("\n"))[1]
	return map[string][]byte{
		"raw": secret, "in hex": []byte(hex.EncodeToString(secret)), "in base64": []byte(base64.RawStdEncoding.EncodeToString(secret)[:40]),
		"as PEM": body, "as the end of PEM": body[len(body)-24:],
	}
}

// runDevOnce runs dev on a folder, writes a config entry and ends it.
func runDevOnce(t *testing.T, dir string, output *lockedBuffer) {
	t.Helper()
	ports, err := procs.FreePorts(7)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"dev", "--data-dir", dir, "--log-level", "debug"}
	for i, name := range []string{"grpc", "http", "dns", "raft", "probe", "admin", "federation"} {
		args = append(args, "--"+name, net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i])))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := &untilReady{ready: make(chan struct{})}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, time.Now(), args, strings.NewReader(""), io.MultiWriter(ready, output), output)
	}()
	select {
	case <-ready.ready:
	case c := <-code:
		t.Fatalf("dev ended with %d: %s", c, output.String())
	case <-time.After(30 * time.Second):
		t.Fatalf("dev is not ready: %s", output.String())
	}
	put := []string{"--server", net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])), "config", "put", "a", "1"}
	if c := run(ctx, time.Now(), put, strings.NewReader(""), output, output); c != 0 {
		t.Errorf("the write ended with %d: %s", c, output.String())
	}
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d: %s", c, output.String())
	}
}
