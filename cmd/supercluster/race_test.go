//go:build race

package main

// raceDetector: this test binary, which is also the program that scripts run, has the race detector.
const raceDetector = true
