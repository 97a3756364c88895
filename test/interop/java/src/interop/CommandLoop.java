package interop;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

/**
 * What a program that client-program.ts drives does with its standard input: a line is a command, and `done` or `error` its one answer.
 * `ready` comes before the first. After `exit`, or when the driver is gone, the process ends.
 */
final class CommandLoop {
    interface Handler {
        /** @param words the command and its arguments. */
        void handle(String[] words) throws Exception;
    }

    private CommandLoop() {}

    static void run(Handler handler) throws IOException {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Events.print("ready");
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.trim().split(" ");
            try {
                handler.handle(words);
                Events.print("done", "command", line);
            } catch (Exception failure) {
                failure.printStackTrace();
                Events.print("error", "command", line, "error", Events.describe(failure));
            }
            if (words[0].equals("exit")) {
                break;
            }
        }
        // The clients leave threads behind that would keep the process alive.
        System.exit(0);
    }

    static IllegalArgumentException noSuchCommand(String[] words) {
        return new IllegalArgumentException("no such command: " + String.join(" ", words));
    }
}
