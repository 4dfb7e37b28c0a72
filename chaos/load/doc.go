// Package load sends HTTP requests through a proxy at a fixed rate, whatever the answers take, and keeps every
// outcome, so that a step of the demo or of a chaos run can say exactly how many failed, and when.
//
// A Load is safe for concurrent use; it bounds its connections and the time of one request, and its memory is one
// small entry a request.
package load
