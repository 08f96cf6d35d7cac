%% What Erlang's processes need for the same; they share an address space, and are no OS processes.
%%
%% Prints a histogram in ns, a line "VALUE COUNT" for each value, or for `stream` the messages a second.
-module(peer_erlang).
-behaviour(supervisor).
-export([main/1, init/1, start_child/1]).

main([What]) ->
    case What of
        rtt -> print(rtt());
        stream -> io:format("~w~n", [stream()]);
        down -> print(down());
        spawn -> print(births());
        restart -> print(restarts())
    end,
    halt().

now_ns() -> erlang:monotonic_time(nanosecond).

print(Laps) ->
    Counts = lists:foldl(fun(Ns, Map) -> maps:update_with(Ns, fun(N) -> N + 1 end, 1, Map) end, #{}, Laps),
    maps:foreach(fun(Ns, Count) -> io:format("~w ~w~n", [Ns, Count]) end, Counts).

timed(Warm, Laps, Lap) ->
    lists:foreach(Lap, lists:seq(1, Warm)),
    [begin Begin = now_ns(), Lap(N), now_ns() - Begin end || N <- lists:seq(Warm + 1, Warm + Laps)].

%% 64 bytes there and back.
payload(N) -> <<N:64, 0:448>>.

rtt() ->
    Self = self(),
    Echo = spawn_link(fun() -> echo(Self) end),
    timed(2000, 20000, fun(N) ->
        Echo ! payload(N),
        receive <<Back:64, _:448>> when Back =:= N + 1 -> ok end
    end).

echo(To) ->
    receive <<N:64, _:448>> -> To ! payload(N + 1) end,
    echo(To).

%% One to one, in turn with a word back each 1,000, so that the mailbox does not grow for ever.
stream() ->
    Self = self(),
    Source = spawn_link(fun() -> source(Self, 0) end),
    Batches = 500,
    Source ! more, Source ! more,
    sink(Source, 0, 50),
    Begin = now_ns(),
    sink(Source, 50, 50 + Batches),
    Batches * 1000 * 1000000000 div (now_ns() - Begin).

source(To, N) ->
    receive more -> ok end,
    [To ! payload(N + I) || I <- lists:seq(0, 999)],
    source(To, N + 1000).

sink(_, Until, Until) -> ok;
sink(Source, Batch, Until) ->
    take(Batch * 1000, Batch * 1000 + 1000),
    Source ! more,
    sink(Source, Batch + 1, Until).

take(Until, Until) -> ok;
take(N, Until) ->
    receive <<M:64, _:448>> when M =:= N -> take(N + 1, Until) end.

%% From a kill to the DOWN message.
down() ->
    timed_after(200, 5000, fun() ->
        {Pid, Ref} = spawn_monitor(fun() -> receive never -> ok end end),
        erlang:yield(),
        fun() -> exit(Pid, kill), receive {'DOWN', Ref, _, _, _} -> ok end end
    end).

%% Spawn, exit, DOWN.
births() ->
    timed(200, 5000, fun(_) ->
        {_, Ref} = spawn_monitor(fun() -> ok end),
        receive {'DOWN', Ref, _, _, _} -> ok end
    end).

timed_after(Warm, Laps, Prepare) ->
    Lap = fun(_) -> Go = Prepare(), Begin = now_ns(), Go(), now_ns() - Begin end,
    lists:foreach(Lap, lists:seq(1, Warm)),
    [Lap(N) || N <- lists:seq(1, Laps)].

%% From a child's death to the first message that its replacement receives.
restarts() ->
    process_flag(trap_exit, true),
    {ok, _} = supervisor:start_link(?MODULE, self()),
    First = receive {started, Pid} -> Pid end,
    put(child, First),
    timed(100, 2000, fun(_) ->
        exit(get(child), kill),
        Next = receive {started, New} -> New end,
        Next ! {hello, self()},
        receive heard -> ok end,
        put(child, Next)
    end).

init(Player) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1}, [#{id => child, start => {?MODULE, start_child, [Player]}}]}}.

start_child(Player) ->
    {ok, proc_lib:spawn_link(fun() -> Player ! {started, self()}, child() end)}.

child() ->
    receive {hello, From} -> From ! heard end,
    child().
