package main

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
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"supercluster/region/backup"
	"supercluster/secrets/ca"
)

// TestCanary_KeysStayInTheirFiles runs dev twice with a folder, writes something, and looks for the private keys of
// its region in every other file and in what it logs and prints.
func TestCanary_KeysStayInTheirFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var output lockedBuffer
	for range 2 {
		runDevOnce(t, dir, &output, func(server string) {
			if c := client(t, &output, server, "", "config", "put", "a", "1"); c != 0 {
				t.Errorf("the write ended with %d: %s", c, output.String())
			}
			if c := client(t, &output, server, "", "backup", "create", "--out", filepath.Join(dir, "backups")); c != 0 {
				t.Errorf("the backup ended with %d: %s", c, output.String())
			}
		})
		dumpBackups(t, dir)
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
	silent(t, secrets, dir, output.String(), paths.FeedKey, paths.CAKey)
}

// dumpBackups writes beside each backup of a folder what is in it, uncompressed, so that it is looked at too.
func dumpBackups(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "backups", "*"+backup.Suffix))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are %d backups (%v)", len(files), err)
	}
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		in, err := backup.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		rows, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".rows", rows, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// silent looks for secrets in an output and in the files of a folder, but for some.
func silent(t *testing.T, secrets map[string][]byte, dir, output string, except ...string) {
	t.Helper()
	look := func(where string, data []byte) {
		for form, secret := range secrets {
			if bytes.Contains(data, secret) {
				t.Errorf("%s shows %s", where, form)
			}
		}
	}
	look("the output", []byte(output))
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || slices.Contains(except, path) {
			return err
		}
		data, err := os.ReadFile(path)
		look(path, data)
		files++
		return err
	})
	if err != nil || files < 10 {
		t.Errorf("%d files were looked at (%v)", files, err)
	}
}

// TestCanary_InvitationsStaySecret makes an invitation, has it refused in several ways, and looks for its secret in the
// log and in the store.
func TestCanary_InvitationsStaySecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var logs, said, invitation lockedBuffer
	secrets := map[string][]byte{}
	runDevOnce(t, dir, &logs, func(server string) {
		args := []string{"--server", server, "region", "peer", "invite"}
		if c := run(t.Context(), time.Now(), args, strings.NewReader(""), &invitation, &said); c != 0 {
			t.Fatalf("exit code %d: %s", c, said.String())
		}
		var inv struct{ Secret []byte }
		if err := json.Unmarshal([]byte(invitation.String()), &inv); err != nil || len(inv.Secret) != 32 {
			t.Fatalf("the invitation has a secret of %d bytes (%v)", len(inv.Secret), err)
		}
		text := base64.StdEncoding.EncodeToString(inv.Secret)
		secrets["raw"], secrets["in base64"], secrets["in hex"] = inv.Secret, []byte(text[:40]), []byte(hex.EncodeToString(inv.Secret))
		for _, broken := range []string{
			invitation.String(), invitation.String() + "}", strings.Replace(invitation.String(), text, text[1:], 1),
			strings.Replace(invitation.String(), `"secret"`, `"secrets"`, 1),
		} {
			if c := client(t, &said, server, broken, "region", "peer", "accept", "-"); c == 0 {
				t.Error("this region joined itself")
			}
		}
	})
	if !strings.Contains(logs.String(), "AcceptInvitation") {
		t.Errorf("the log does not show the calls: %s", logs.String())
	}
	silent(t, secrets, dir, logs.String()+said.String())
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

// client runs a client verb against a server.
func client(t *testing.T, output *lockedBuffer, server, in string, args ...string) int {
	t.Helper()
	return run(t.Context(), time.Now(), append([]string{"--server", server}, args...), strings.NewReader(in), output, output)
}

// runDevOnce runs dev on a folder, calls fn with its address and ends it.
func runDevOnce(t *testing.T, dir string, output *lockedBuffer, fn func(server string)) {
	t.Helper()
	listeners, byName, err := freeListeners()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"dev", "--data-dir", dir, "--log-level", "debug"}, listeners...)
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
	fn(byName["grpc"])
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d: %s", c, output.String())
	}
}
