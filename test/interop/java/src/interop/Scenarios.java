package interop;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.rocketmq.client.producer.DefaultMQProducer;

/** Runs all scenarios side by side, each on a topic of its own, and prints a `check` event for each. */
final class Scenarios {
    private static final int QUEUES = 4;

    private final List<Scenario> all;

    Scenarios(Clients clients, DefaultMQProducer producer, String topic) {
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
    }

    void run(String phase) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(all.size());
        Map<Scenario, Future<String>> running = new LinkedHashMap<>();
        for (Scenario scenario : all) {
            running.put(scenario, pool.submit(() -> phase.equals("before") ? scenario.before() : scenario.after()));
        }
        for (Scenario scenario : all) {
            try {
                Events.print("check", "name", scenario.name(), "ok", true, "detail", running.get(scenario).get());
            } catch (java.util.concurrent.ExecutionException failure) {
                failure.getCause().printStackTrace();
                Events.print("check", "name", scenario.name(), "ok", false, "detail", describe(failure.getCause()));
            }
        }
        pool.shutdown();
        if (phase.equals("before")) {
            for (Scenario scenario : all) {
                scenario.leaveBehind();
            }
        }
    }

    /** An exception with its causes, on one line. */
    static String describe(Throwable failure) {
        StringBuilder text = new StringBuilder(failure.toString());
        for (Throwable cause = failure.getCause(); cause != null; cause = cause.getCause()) {
            text.append(" <- ").append(cause);
        }
        return text.toString().replace('\n', ' ');
    }
}
