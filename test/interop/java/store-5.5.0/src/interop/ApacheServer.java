package interop;

import org.apache.rocketmq.broker.BrokerController;
import org.apache.rocketmq.broker.BrokerStartup;
import org.apache.rocketmq.namesrv.NamesrvController;
import org.apache.rocketmq.namesrv.NamesrvStartup;

/**
 * Apache's name server, and a broker in the same process: prints "done" when they run, ends them cleanly at the end of its input.
 *
 * Arguments: the configuration file of the name server, and that of the broker where there is one.
 */
public final class ApacheServer {
    private ApacheServer() {}

    public static void main(String[] args) throws Exception {
        NamesrvStartup.parseCommandlineAndConfigFile(new String[] {"-c", args[0]});
        NamesrvController namesrv = NamesrvStartup.createAndStartNamesrvController();
        BrokerController broker = null;
        if (args.length > 1) {
            broker = BrokerStartup.createBrokerController(new String[] {"-c", args[1]});
            broker.start();
        }
        System.out.println("done");
        while (System.in.read() >= 0) {
            // Until the end.
        }
        if (broker != null) {
            broker.shutdown();
        }
        namesrv.shutdown();
        System.out.println("done");
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }
}
