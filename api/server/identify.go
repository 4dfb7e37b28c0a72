package server

import (
	"context"
	"crypto/x509"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"supercluster/registry/access"
)

// Identify gives the principal function of a listener with client certificates: the subject alternative names
// (DNS names, URIs, addresses, mail) of the verified certificate are looked up in the lists. In more than one
// list the more trusted role counts. A caller in none, or without a certificate, is anonymous.
func Identify(operators, readers, proxies []string) func(ctx context.Context) (access.Principal, error) {
	roles := map[string]access.Role{}
	for _, list := range []struct {
		names []string
		role  access.Role
	}{{proxies, access.RoleProxy}, {readers, access.RoleReader}, {operators, access.RoleOperator}} {
		for _, name := range list.names {
			roles[name] = list.role // later lists are more trusted
		}
	}
	return func(ctx context.Context) (access.Principal, error) {
		leaf := clientCertificate(ctx)
		if leaf == nil {
			return access.Principal{}, nil
		}
		return principalOf(leaf, roles), nil
	}
}

// Dev gives the principal function of `dev`: everybody may do everything. It belongs on loopback alone.
func Dev() func(ctx context.Context) (access.Principal, error) {
	return func(context.Context) (access.Principal, error) {
		return access.Principal{Name: "dev", Role: access.RoleDev}, nil
	}
}

// clientCertificate gives the leaf that the listener verified, never one that was only presented.
func clientCertificate(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}

func principalOf(leaf *x509.Certificate, roles map[string]access.Role) access.Principal {
	var p access.Principal
	consider := func(name string) {
		if role := roles[name]; role > p.Role {
			p = access.Principal{Name: name, Role: role}
		} else if p.Name == "" {
			p.Name = name
		}
	}
	for _, name := range leaf.DNSNames {
		consider(name)
	}
	for _, uri := range leaf.URIs {
		consider(uri.String())
	}
	for _, ip := range leaf.IPAddresses {
		consider(ip.String())
	}
	for _, mail := range leaf.EmailAddresses {
		consider(mail)
	}
	return p
}
