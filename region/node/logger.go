package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v4/logger"
)

// Dragonboat logs through one factory for the whole process, set once. These two are that; the logger is the one of
// the node that was made last.
var (
	raftLogOnce sync.Once
	raftLogger  atomic.Pointer[slog.Logger]
)

// routeRaftLog sends Dragonboat's log to a logger.
func routeRaftLog(log *slog.Logger) {
	raftLogger.Store(log)
	raftLogOnce.Do(func() {
		logger.SetLoggerFactory(func(name string) logger.ILogger { return raftLog{name: name} })
	})
}

// raftLog is one of Dragonboat's loggers. What Dragonboat tells is detail to an operator, so it is one level lower
// here.
type raftLog struct{ name string }

// SetLevel does nothing: the level is the process's.
func (raftLog) SetLevel(logger.LogLevel) {}

// Debugf is dropped unless debugging is on.
func (l raftLog) Debugf(format string, args ...any) { l.write(slog.LevelDebug-4, format, args) }

// Infof is debugging to us.
func (l raftLog) Infof(format string, args ...any) { l.write(slog.LevelDebug, format, args) }

// Warningf is information to us: Dragonboat warns of every connection that it tries again.
func (l raftLog) Warningf(format string, args ...any) { l.write(slog.LevelInfo, format, args) }

// Errorf is a warning to us.
func (l raftLog) Errorf(format string, args ...any) { l.write(slog.LevelWarn, format, args) }

// Panicf must not return.
func (l raftLog) Panicf(format string, args ...any) {
	l.write(slog.LevelError, format, args)
	panic(fmt.Sprintf(format, args...))
}

func (l raftLog) write(level slog.Level, format string, args []any) {
	log := raftLogger.Load()
	if log == nil || !log.Enabled(context.Background(), level) {
		return
	}
	log.Log(context.Background(), level, fmt.Sprintf(format, args...), "part", "raft/"+l.name)
}
