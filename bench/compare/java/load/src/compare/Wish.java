package compare;

import java.util.HashMap;
import java.util.Map;

/** One command: a workload and its settings. A setting that is missing is an error, so none has a default twice. */
final class Wish {
    final String workload;
    private final Map<String, String> settings = new HashMap<>();

    Wish(String line) {
        String[] words = line.trim().split(" ");
        workload = words[0];
        for (int i = 1; i < words.length; i++) {
            int at = words[i].indexOf('=');
            settings.put(words[i].substring(0, at), words[i].substring(at + 1));
        }
    }

    String text(String name) {
        String value = settings.get(name);
        if (value == null) throw new IllegalArgumentException(workload + " needs " + name);
        return value;
    }

    int number(String name) {
        return Integer.parseInt(text(name));
    }
}
