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

// raftLog is one of Dragonboat's loggers. What Dragonboat tells is detail to an operator: it warns of every vote and
// of every connection that it tries again, so its levels are lowered here.
type raftLog struct{ name string }

// SetLevel does nothing: the level is the process's.
func (raftLog) SetLevel(logger.LogLevel) {}

// Debugf is dropped unless debugging is on.
func (l raftLog) Debugf(format string, args ...any) { l.write(slog.LevelDebug-4, format, args) }

// Infof is fine debugging to us.
func (l raftLog) Infof(format string, args ...any) { l.write(slog.LevelDebug-2, format, args) }

// Warningf is debugging to us.
func (l raftLog) Warningf(format string, args ...any) { l.write(slog.LevelDebug, format, args) }

// Errorf is information to us: mostly a connection that failed, of which region/wire tells.
func (l raftLog) Errorf(format string, args ...any) { l.write(slog.LevelInfo, format, args) }

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
