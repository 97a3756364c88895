package interop;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;
import org.apache.rocketmq.common.message.MessageExt;

/** How often each key was delivered. Consumers fill it from their own threads. */
final class Inbox {
    private final Map<String, Integer> deliveries = new ConcurrentHashMap<>();

    void add(List<MessageExt> messages) {
        for (MessageExt message : messages) {
            deliveries.merge(message.getKeys(), 1, Integer::sum);
        }
    }

    void awaitAll(String who, Collection<String> wanted) throws Exception {
        try {
            Clients.until(who + " got all messages", () -> missing(wanted).isEmpty());
        } catch (IllegalStateException late) {
            throw new IllegalStateException(late.getMessage() + "; missing " + Clients.some(missing(wanted)), late.getCause());
        }
    }

    boolean hasAll(Collection<String> wanted) {
        return missing(wanted).isEmpty();
    }

    /** Each of these and nothing else, each once. */
    void expectExactly(String who, Collection<String> wanted) {
        expectExactly(who, wanted, key -> false);
    }

    /** Each of these and nothing else, each once but for those that may be in the log more than once. */
    void expectExactly(String who, Collection<String> wanted, Predicate<String> mayRepeat) {
        expectNothingBut(who, wanted);
        Set<String> repeated = new TreeSet<>();
        deliveries.forEach((key, count) -> {
            if (count > 1 && !mayRepeat.test(key)) {
                repeated.add(key + " x" + count);
            }
        });
        Clients.expect(repeated.isEmpty(), who + " got more than once: " + Clients.some(repeated));
    }

    void expectNothingBut(String who, Collection<String> wanted) {
        Set<String> unwanted = new TreeSet<>(deliveries.keySet());
        unwanted.removeAll(wanted);
        Clients.expect(unwanted.isEmpty(), who + " got what it did not ask for: " + Clients.some(unwanted));
    }

    private Set<String> missing(Collection<String> wanted) {
        Set<String> missing = new TreeSet<>(wanted);
        missing.removeAll(deliveries.keySet());
        return missing;
    }
}
