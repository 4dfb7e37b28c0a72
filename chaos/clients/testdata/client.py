"""A real gRPC client of Python: calls xds:///web until both backends answered, then until only the second one does."""
import sys
import time

import grpc

identity = lambda b: b
channel = grpc.insecure_channel("xds:///web")
call = channel.unary_unary("/demo.Echo/Who", request_serializer=identity, response_deserializer=identity)
deadline = time.time() + 30
seen, streak = set(), 0
while time.time() < deadline:
    who = call(b"", timeout=10, wait_for_ready=True).decode()
    if len(seen) < 2:
        seen.add(who)
        if len(seen) == 2:
            print("both", flush=True)
        continue
    streak = streak + 1 if who == "b2" else 0
    if streak == 50:
        print("moved", flush=True)
        sys.exit(0)
    time.sleep(0.002)
print("gave up: saw", seen, "streak", streak)
sys.exit(1)
