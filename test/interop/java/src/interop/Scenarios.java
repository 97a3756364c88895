package interop;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.rocketmq.client.producer.DefaultMQProducer;

/** Runs all scenarios side by side, each on a topic of its own, and prints a `check` event for each. */
final class Scenarios {
    private static final int QUEUES = 4;
    private static final long LOOK_EVERY_MS = 20;

    private final List<Scenario> all;
    private final ExecutorService pool;
    private final Map<Scenario, Future<String>> running = new LinkedHashMap<>();
    private CompletableFuture<Long> killed;

    Scenarios(Clients clients, String topic) throws Exception {
        DefaultMQProducer producer = clients.producer("G_" + topic + "_scenarios");
        // Whoever sends again is to know it, for what was sent once comes once.
        producer.setRetryTimesWhenSendFailed(0);
        ScenarioContext context = new ScenarioContext(clients, producer, topic, QUEUES);
        List<Scenario> some = new ArrayList<>(List.of(
            new Retry(context),
            new Orderly(context),
            new CreateTopic(context),
            new ViewMessage(context),
            new Query(context),
            new Pull(context),
            new LitePull(context),
            new Filters(context),
            new TopicLife(context),
            new Rebalance(context),
            new Broadcast(context),
            new Delay(context),
            new Offsets(context),
            new RequestReply(context),
            new DeadLetters(context),
            new Bodies(context),
            new Trace(context),
            new Transactions(context)));
        some.addAll(Version.scenarios(context));
        all = some;
        pool = Executors.newFixedThreadPool(all.size());
    }

    /** All, on a steady group. */
    void before() throws Exception {
        for (Scenario scenario : all) {
            running.put(scenario, pool.submit(scenario::before));
        }
        report("");
    }

    /** All, until each is in its middle; one that fails earlier is not waited for. */
    void toMiddle() throws Exception {
        killed = new CompletableFuture<>();
        Map<Scenario, Middle> middles = new LinkedHashMap<>();
        for (Scenario scenario : all) {
            Middle middle = new Middle(scenario.name(), killed);
            middles.put(scenario, middle);
            running.put(scenario, pool.submit(() -> {
                String seen = scenario.through(middle);
                Clients.expect(middle.isReached(), "it ended before its middle");
                return seen;
            }));
        }
        for (Scenario scenario : all) {
            while (!middles.get(scenario).isReached() && !running.get(scenario).isDone()) {
                Thread.sleep(LOOK_EVERY_MS);
            }
        }
    }

    /** Now that the leader is dead. */
    void goOn() throws Exception {
        killed.complete(System.nanoTime());
        report(" through a failover");
        pool.shutdown();
    }

    private void report(String when) throws Exception {
        for (Scenario scenario : all) {
            String name = scenario.name() + when;
            try {
                Events.check(name, running.get(scenario).get());
            } catch (ExecutionException failure) {
                failure.getCause().printStackTrace();
                Events.print("check", "name", name, "ok", false, "detail", Events.describe(failure.getCause()));
            }
        }
    }
}
