// Package dns answers DNS queries for the services of a region.
//
// It owns the names, the wire format and the limits of the DNS listener. Which endpoints an answer holds is decided
// by package federation/plan on the view at the time of the answer. It is authoritative for one domain and its
// aliases, for one tenant, and never asks anybody else.
package dns
