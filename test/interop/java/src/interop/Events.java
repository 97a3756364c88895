package interop;

import java.io.FileOutputStream;
import java.io.FileDescriptor;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * What this program tells its driver: one JSON object a line on standard output, nothing else there.
 * The fields of each event are those of client-program.ts.
 */
final class Events {
    private static final PrintStream OUT =
        new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);

    private Events() {}

    /** Prints an event with its fields: name, value, name, value… */
    static void print(String event, Object... fields) {
        StringBuilder line = new StringBuilder("{\"event\":");
        quote(line, event);
        for (int i = 0; i < fields.length; i += 2) {
            line.append(',');
            quote(line, (String) fields[i]);
            line.append(':');
            Object value = fields[i + 1];
            if (value instanceof Number || value instanceof Boolean) {
                line.append(value);
            } else {
                quote(line, String.valueOf(value));
            }
        }
        line.append('}');
        synchronized (OUT) {
            OUT.println(line);
            OUT.flush();
        }
    }

    /** Says of what was checked that it holds. */
    static void check(String name, String detail) {
        print("check", "name", name, "ok", true, "detail", detail);
    }

    /** An exception with its causes, on one line. */
    static String describe(Throwable failure) {
        StringBuilder text = new StringBuilder(failure.toString());
        for (Throwable cause = failure.getCause(); cause != null; cause = cause.getCause()) {
            text.append(" <- ").append(cause);
        }
        return text.toString().replace('\n', ' ');
    }

    private static void quote(StringBuilder line, String text) {
        line.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                line.append('\\').append(c);
            } else if (c < 0x20) {
                line.append(String.format("\\u%04x", (int) c));
            } else {
                line.append(c);
            }
        }
        line.append('"');
    }
}
