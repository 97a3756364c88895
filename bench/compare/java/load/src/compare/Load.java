package compare;

import java.io.BufferedReader;
import java.io.InputStreamReader;

/**
 * A load made with the unmodified Java client. Commands come in as lines, `WORKLOAD KEY=VALUE ...`; each is answered by
 * `begin` and `end` around what is measured, where it is measured, and by `done {JSON}` or `error REASON`. It ends with its
 * input.
 */
public final class Load {
    public static void main(String[] arguments) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        say("ready");
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            Wish wish = new Wish(line);
            try {
                say("done " + answer(wish));
            } catch (Throwable failure) {
                say("error " + String.valueOf(failure).replaceAll("\\s+", " "));
            }
        }
        // The client's threads would keep the process.
        Runtime.getRuntime().halt(0);
    }

    private static String answer(Wish wish) throws Exception {
        switch (wish.workload) {
            case "first":
                return FirstAck.run(wish);
            case "send":
                return Sending.run(wish);
            case "drain":
                return Draining.run(wish);
            case "e2e":
                return EndToEnd.run(wish);
            case "failover":
                return Failover.run(wish);
            default:
                throw new IllegalArgumentException("no workload " + wish.workload);
        }
    }

    /** What is measured begins: the driver reads the counters of the processes. */
    static void begin() {
        say("begin");
    }

    static void end() {
        say("end");
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
